// Appended to pjproject's pjsua2.i: what Python sees of frame_queue.hpp.

%{
#include "frame_queue.hpp"
%}

// These methods handle Python objects: they keep the interpreter's lock, which -threads would let go of.
%nothread offhook::FrameQueue::push;
%nothread offhook::FrameQueue::pull;
%nothread offhook::FrameQueue::take;
%nothread offhook::FrameQueue::play;
%nothread offhook::FrameQueue::end_item;
%nothread offhook::FrameQueue::pause;
%nothread offhook::FrameQueue::flush;
%nothread offhook::FrameQueue::playing;
%nothread offhook::FrameQueue::heard;
%nothread offhook::FrameQueue::received;
%nothread offhook::FrameQueue::set_tap;
%nothread offhook::FrameQueue::record;
%nothread offhook::FrameQueue::mute_record;
%nothread offhook::FrameQueue::take_record;
%nothread offhook::FrameQueue::take_levels;
%nothread offhook::FrameQueue::worst_lateness_s;
%nothread offhook::FrameQueue::edges;
%nothread offhook::FrameQueue::underruns;
%nothread offhook::FrameQueue::pushed_frames;
%nothread offhook::FrameQueue::pulled_frames;
%nothread offhook::FrameQueue::dropped_in_frames;
%nothread offhook::FrameQueue::queued_bytes;
%nothread offhook::FrameQueue::refused_out_bytes;

namespace offhook {

class FrameQueue {
public:
    FrameQueue(long frame_bytes, double frame_s, long in_limit_frames, long out_limit_bytes);
    void push(PyObject *frame);
    PyObject *pull();
    PyObject *take();
    bool play(const std::string &item_id, PyObject *pcm);
    void end_item(const std::string &item_id);
    void pause(bool paused);
    PyObject *flush();
    PyObject *playing();
    long long heard(const std::string &item_id);
    long long received(const std::string &item_id);
    void set_tap(PyObject *tap);
    void record(long limit_ticks);
    void mute_record(bool muted);
    PyObject *take_record(bool last);
    PyObject *take_levels();
    double worst_lateness_s();
    long long edges() const;
    long long underruns() const;
    long long pushed_frames() const;
    long long pulled_frames() const;
    long long dropped_in_frames() const;
    long long queued_bytes();
    long long refused_out_bytes();
};

class FramePort : public pj::AudioMediaPort {
public:
    explicit FramePort(unsigned frame_bytes);
    void attach(FrameQueue *queue);
    void detach();
    void set_live(bool live);
    void onFrameReceived(pj::MediaFrame &frame);
    void onFrameRequested(pj::MediaFrame &frame);
};

} // namespace offhook
