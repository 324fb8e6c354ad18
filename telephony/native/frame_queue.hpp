// The audio of one call between pjmedia's clock thread and the event loop, and the media port that moves it: what
// telephony/frame_queue.py and telephony/port.py do, without Python on the clock thread. A callback in Python costs
// 10 us and the interpreter's lock, twice per 20 ms and call; here it is a copy of 320 bytes under a lock of its own.
//
// docker/build-pjsua2 compiles this into its pjsua2. The rules are those of FrameQueue in frame_queue.py, whose tests
// run on both.

#ifndef OFFHOOK_FRAME_QUEUE_HPP
#define OFFHOOK_FRAME_QUEUE_HPP

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <pjsua2.hpp>

namespace offhook {

// What was received and what was sent, tick by tick of the clock, as the samples of a stereo file: the caller's left, the
// agent's right. The rules are those of Track in track.py.
class Track {
public:
    Track(size_t frame_bytes, size_t limit_ticks) : frame_(frame_bytes), limit_(limit_ticks) {}

    void sent(const char *frame, size_t size) { put(append(), frame, size, 1), open_ = true; }

    void received(const char *frame, size_t size) {
        put(open_ ? samples_.size() - tick() : append(), frame, size, 0);
        open_ = false;
    }

    void mute(bool muted) { muted_ = muted; }

    // Take what gathered into `samples`; returns how many ticks were lost in all.
    long long take(std::vector<char> &samples, bool last) {
        const size_t kept = open_ && !last ? tick() : 0;
        const size_t begin = first_, end = samples_.size() - kept;
        samples.assign(samples_.begin() + begin, samples_.begin() + std::max(begin, end));
        samples_.erase(samples_.begin(), samples_.begin() + end);
        first_ = 0;
        open_ = kept != 0;
        return lost_;
    }

private:
    size_t tick() const { return 2 * frame_; }

    size_t append() {
        if (samples_.size() - first_ >= limit_ * tick()) {
            first_ += tick();
            ++lost_;
            if (first_ >= limit_ * tick()) { // the room of what was lost, given back in one move
                samples_.erase(samples_.begin(), samples_.begin() + first_);
                first_ = 0;
            }
        }
        samples_.resize(samples_.size() + tick(), 0);
        return samples_.size() - tick();
    }

    void put(size_t at, const char *frame, size_t size, size_t side) {
        if (muted_)
            return;
        for (size_t sample = 0; 2 * sample + 1 < std::min(size, frame_); ++sample)
            std::memcpy(&samples_[at + 4 * sample + 2 * side], frame + 2 * sample, 2);
    }

    const size_t frame_, limit_;
    std::vector<char> samples_;
    size_t first_ = 0;
    bool open_ = false, muted_ = false;
    long long lost_ = 0;
};

// How loud each frame was, a byte each: pcm.level_of, whose rules these are. Kept from the first time on that somebody asks.
class Loudness {
public:
    static unsigned char of(const char *frame, size_t size) {
        const size_t count = size / 2;
        long long squares = 0;
        for (size_t number = 0; number < count; ++number) {
            int16_t sample;
            std::memcpy(&sample, frame + 2 * number, 2);
            squares += static_cast<int>(sample) * sample;
        }
        const unsigned rms = count ? static_cast<unsigned>(std::sqrt(static_cast<double>(squares) / count)) : 0;
        return static_cast<unsigned char>(std::min(rms / 32, 255u));
    }

    void put(unsigned char level) {
        if (levels_.size() >= MOST)
            levels_.erase(levels_.begin());
        levels_.push_back(static_cast<char>(level));
    }

    std::string take() {
        std::string taken;
        taken.swap(levels_);
        return taken;
    }

private:
    static constexpr size_t MOST = 500;
    std::string levels_;
};

// Audio of both directions, in bytes. Methods that take or return Python objects are the loop's, and are called with
// the interpreter's lock held; push_frame and pull_frame are the clock thread's.
class FrameQueue {
public:
    FrameQueue(long frame_bytes, double frame_s, long in_limit_frames, long out_limit_bytes)
        : frame_bytes_(frame_bytes), frame_s_(frame_s), in_limit_(in_limit_frames), out_limit_(out_limit_bytes) {}

    ~FrameQueue() { Py_XDECREF(tap_); }

    FrameQueue(const FrameQueue &) = delete;
    FrameQueue &operator=(const FrameQueue &) = delete;

    // --- the clock thread

    void push_frame(const char *data, size_t size) {
        const bool measured = measured_.load(std::memory_order_relaxed);
        const unsigned char level = measured ? Loudness::of(data, size) : 0;
        {
            std::lock_guard<std::mutex> guard(lock_);
            pushed_frames_.fetch_add(1, std::memory_order_relaxed);
            if (static_cast<long>(in_.size()) >= in_limit_) {
                in_.pop_front();
                dropped_in_frames_.fetch_add(1, std::memory_order_relaxed);
            }
            in_.emplace_back(data, size);
            if (track_)
                track_->received(data, size);
            if (measured)
                caller_.put(level);
        }
        tell_tap("received", data, size);
    }

    void pull_frame(char *out) {
        note_time();
        size_t have = 0;
        {
            std::lock_guard<std::mutex> guard(lock_);
            pulled_frames_.fetch_add(1, std::memory_order_relaxed);
            if (!queue_.empty() && !paused_)
                have = fill(out);
            std::memset(out + have, 0, frame_bytes_ - have);
            if (track_)
                track_->sent(out, frame_bytes_);
            if (measured_.load(std::memory_order_relaxed))
                agent_.put(have ? Loudness::of(out, frame_bytes_) : 0);
        }
        tell_tap("sent", out, frame_bytes_);
    }

    // --- the loop

    void push(PyObject *frame) {
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(frame, &data, &size) == 0)
            push_frame(data, size);
    }

    PyObject *pull() {
        PyObject *frame = PyBytes_FromStringAndSize(nullptr, frame_bytes_);
        if (frame)
            pull_frame(PyBytes_AS_STRING(frame));
        return frame;
    }

    PyObject *take() {
        std::deque<std::string> frames;
        {
            std::lock_guard<std::mutex> guard(lock_);
            frames.swap(in_);
        }
        size_t size = 0;
        for (const std::string &frame : frames)
            size += frame.size();
        PyObject *all = PyBytes_FromStringAndSize(nullptr, size);
        if (!all)
            return nullptr;
        char *at = PyBytes_AS_STRING(all);
        for (const std::string &frame : frames) {
            std::memcpy(at, frame.data(), frame.size());
            at += frame.size();
        }
        return all;
    }

    bool play(const std::string &item_id, PyObject *pcm) {
        edge();
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(pcm, &data, &size) != 0)
            return false;
        if (size == 0)
            return true;
        std::string piece(data, size);
        std::lock_guard<std::mutex> guard(lock_);
        Item &item = known(item_id);
        if (item.refused || queued_ + size > out_limit_) {
            item.refused = true;
            refused_out_bytes_ += size;
            return false;
        }
        if (item.queued && item.ended && item.left == 0)
            leave(); // sent to its end, so it is the first; this is a new beginning
        if (!item.queued) {
            item.queued = true;
            item.dry = false;
            queue_.push_back(&item);
        }
        item.pieces.push_back(std::move(piece));
        item.left += size;
        item.received += size;
        item.ended = false;
        queued_ += size;
        return true;
    }

    void end_item(const std::string &item_id) {
        std::lock_guard<std::mutex> guard(lock_);
        if (Item *item = find(item_id)) {
            item->ended = true;
            edge();
        }
    }

    // Pull silence, whatever is queued, until told otherwise or flushed.
    void pause(bool paused) {
        std::lock_guard<std::mutex> guard(lock_);
        paused_ = paused;
        edge();
    }

    // A list of (item id, bytes heard, bytes received, whether it was complete).
    PyObject *flush() {
        std::vector<Flushed> flushed; // with the audio: freed outside the lock, as Python objects are made there
        {
            std::lock_guard<std::mutex> guard(lock_);
            for (Item *item : queue_) {
                flushed.push_back({item->id, item->heard, item->received, item->ended && item->left == 0, {}});
                flushed.back().dropped.swap(item->pieces);
                item->at = 0;
                item->left = 0;
                item->ended = true;
                item->queued = item->dry = false;
            }
            queue_.clear();
            queued_ = 0;
            paused_ = false;
            edge();
            for (Item &item : items_)
                item.refused = false;
        }
        PyObject *list = PyList_New(flushed.size());
        for (size_t number = 0; list && number < flushed.size(); ++number) {
            const Flushed &one = flushed[number];
            PyObject *item = Py_BuildValue("(s#LLO)", one.id.data(), static_cast<Py_ssize_t>(one.id.size()), one.heard,
                                           one.received, one.complete ? Py_True : Py_False);
            if (item)
                PyList_SET_ITEM(list, number, item);
            else
                Py_CLEAR(list);
        }
        return list;
    }

    PyObject *playing() {
        std::lock_guard<std::mutex> guard(lock_);
        size_t number = 0;
        for (const Item *item : queue_) {
            const bool last = ++number == queue_.size();
            if (item->left >= frame_bytes_ || (item->left && (item->ended || !last)))
                return PyUnicode_FromStringAndSize(item->id.data(), item->id.size());
        }
        Py_RETURN_NONE;
    }

    long long heard(const std::string &item_id) {
        std::lock_guard<std::mutex> guard(lock_);
        const Item *item = find(item_id);
        return item ? item->heard : 0;
    }

    long long received(const std::string &item_id) {
        std::lock_guard<std::mutex> guard(lock_);
        const Item *item = find(item_id);
        return item ? item->received : 0;
    }

    // Keep both directions from now on, at most so many ticks until they are taken.
    void record(long limit_ticks) {
        std::unique_ptr<Track> track(new Track(frame_bytes_, limit_ticks));
        std::lock_guard<std::mutex> guard(lock_);
        track_.swap(track);
    }

    void mute_record(bool muted) {
        std::lock_guard<std::mutex> guard(lock_);
        if (track_)
            track_->mute(muted);
    }

    // (samples of both sides in turn, ticks lost in all).
    PyObject *take_record(bool last) {
        std::vector<char> samples;
        long long lost = 0;
        {
            std::lock_guard<std::mutex> guard(lock_);
            if (track_)
                lost = track_->take(samples, last);
        }
        return Py_BuildValue("(y#L)", samples.data() ? samples.data() : "", static_cast<Py_ssize_t>(samples.size()), lost);
    }

    // How loud the caller's and the agent's frames were since the last time, a byte each.
    PyObject *take_levels() {
        std::string caller, agent;
        {
            std::lock_guard<std::mutex> guard(lock_);
            measured_.store(true, std::memory_order_relaxed);
            caller = caller_.take();
            agent = agent_.take();
        }
        return Py_BuildValue("(y#y#)", caller.data(), static_cast<Py_ssize_t>(caller.size()), agent.data(),
                             static_cast<Py_ssize_t>(agent.size()));
    }

    // An object with received(bytes) and sent(bytes), or None. It is called on the clock thread, with the lock of the
    // interpreter, for which no call without a tap waits.
    void set_tap(PyObject *tap) {
        PyObject *before;
        {
            std::lock_guard<std::mutex> guard(tap_lock_);
            before = tap_;
            tap_ = tap == Py_None ? nullptr : tap;
            Py_XINCREF(tap_);
            tapped_.store(tap_ != nullptr, std::memory_order_release);
        }
        Py_XDECREF(before);
    }

    double worst_lateness_s() { return worst_late_s_.exchange(0.0, std::memory_order_relaxed); }
    long long edges() const { return edges_.load(std::memory_order_relaxed); }
    long long underruns() const { return underruns_.load(std::memory_order_relaxed); }
    long long pushed_frames() const { return pushed_frames_.load(std::memory_order_relaxed); }
    long long pulled_frames() const { return pulled_frames_.load(std::memory_order_relaxed); }
    long long dropped_in_frames() const { return dropped_in_frames_.load(std::memory_order_relaxed); }

    long long queued_bytes() {
        std::lock_guard<std::mutex> guard(lock_);
        return queued_;
    }

    long long refused_out_bytes() {
        std::lock_guard<std::mutex> guard(lock_);
        return refused_out_bytes_;
    }

private:
    static constexpr size_t REMEMBERED = 64;
    static constexpr double PAUSE_S = 1.0;

    struct Item {
        explicit Item(const std::string &item_id) : id(item_id) {}
        std::string id;
        std::deque<std::string> pieces;
        size_t at = 0;
        long long left = 0, heard = 0, received = 0;
        bool queued = false, ended = false, dry = false, refused = false;
    };

    struct Flushed {
        std::string id;
        long long heard, received;
        bool complete;
        std::deque<std::string> dropped;
    };

    // Fill one frame from the front of the queue; returns how much of it. An item with another behind it has ended.
    size_t fill(char *out) {
        size_t have = 0;
        while (!queue_.empty()) {
            Item &item = *queue_.front();
            const bool last = queue_.size() == 1;
            const long long want = frame_bytes_ - static_cast<long long>(have);
            if (item.left >= want) {
                item.dry = false;
                copy(item, out + have, want);
                if (item.left < frame_bytes_) {
                    edge();
                    if (item.left == 0 && !last)
                        leave();
                }
                return frame_bytes_;
            }
            if (last && !item.ended) {
                // Less than a frame waits for more: a gap in mid item is heard, half a frame and a gap is heard twice.
                if (item.heard && !item.dry && have == 0) {
                    item.dry = true;
                    underruns_.fetch_add(1, std::memory_order_relaxed);
                }
                break;
            }
            if (const long long part = item.left) {
                copy(item, out + have, part);
                have += part;
                edge();
                if (last)
                    break; // the next pull lets it go: until then a flush says that it was complete
            }
            leave();
        }
        return have;
    }

    void copy(Item &item, char *out, size_t nbytes) {
        item.left -= nbytes;
        item.heard += nbytes;
        queued_ -= nbytes;
        while (nbytes) {
            const std::string &piece = item.pieces.front();
            const size_t part = std::min(piece.size() - item.at, nbytes);
            std::memcpy(out, piece.data() + item.at, part);
            out += part;
            nbytes -= part;
            item.at += part;
            if (item.at == piece.size()) {
                item.pieces.pop_front();
                item.at = 0;
            }
        }
    }

    void leave() {
        queue_.front()->queued = false;
        queue_.pop_front();
        edge();
    }

    void edge() { edges_.fetch_add(1, std::memory_order_relaxed); }

    Item *find(const std::string &item_id) {
        for (Item &item : items_)
            if (item.id == item_id)
                return &item;
        return nullptr;
    }

    // The item of this id, made if need be; then the oldest that are not queued go, beyond what is remembered.
    Item &known(const std::string &item_id) {
        if (Item *item = find(item_id))
            return *item;
        for (auto item = items_.begin(); item != items_.end() && items_.size() + 1 > REMEMBERED;)
            item = item->queued ? std::next(item) : items_.erase(item);
        items_.emplace_back(item_id);
        return items_.back();
    }

    void note_time() {
        const double now =
            std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
        const double late = now - last_pull_s_ - frame_s_;
        if (late < PAUSE_S && late > worst_late_s_.load(std::memory_order_relaxed))
            worst_late_s_.store(late, std::memory_order_relaxed);
        last_pull_s_ = now;
    }

    void tell_tap(const char *method, const char *data, size_t size) {
        if (!tapped_.load(std::memory_order_acquire))
            return;
        const PyGILState_STATE state = PyGILState_Ensure();
        PyObject *tap;
        {
            std::lock_guard<std::mutex> guard(tap_lock_);
            tap = tap_;
            Py_XINCREF(tap);
        }
        if (tap) {
            PyObject *done = PyObject_CallMethod(tap, method, "y#", data, static_cast<Py_ssize_t>(size));
            if (!done)
                PyErr_Clear(); // there is nobody to raise to on this thread
            Py_XDECREF(done);
            Py_DECREF(tap);
        }
        PyGILState_Release(state);
    }

    const long frame_bytes_;
    const double frame_s_;
    const long in_limit_, out_limit_;

    std::mutex lock_; // never held while the interpreter's is waited for
    std::deque<std::string> in_;
    std::list<Item> items_; // in the order they came; their places in memory stay
    std::deque<Item *> queue_;
    long long queued_ = 0, refused_out_bytes_ = 0;
    bool paused_ = false;
    std::unique_ptr<Track> track_;
    Loudness caller_, agent_;
    std::atomic<bool> measured_{false};

    std::mutex tap_lock_;
    PyObject *tap_ = nullptr;
    std::atomic<bool> tapped_{false};

    double last_pull_s_ = 0.0; // the clock thread's
    std::atomic<double> worst_late_s_{0.0};
    std::atomic<long long> edges_{0}, underruns_{0}, pushed_frames_{0}, pulled_frames_{0}, dropped_in_frames_{0};
};

// A port of the conference that moves the frames of one queue at a time. Made, given a queue and taken back on the pj
// thread. Whoever attaches a queue keeps it alive until after detach(), which waits for a callback that is under way.
class FramePort : public pj::AudioMediaPort {
public:
    explicit FramePort(unsigned frame_bytes) : silence_(frame_bytes, 0) {}

    void attach(FrameQueue *queue) {
        std::lock_guard<std::mutex> guard(lock_);
        queue_ = queue;
    }

    void detach() { attach(nullptr); }

    // Media has been up: from then on the absence of frames is silence.
    void set_live(bool live) { live_.store(live); }

    void onFrameReceived(pj::MediaFrame &frame) override {
        std::lock_guard<std::mutex> guard(lock_);
        if (!queue_)
            return;
        if (frame.size && frame.buf.size() >= frame.size)
            queue_->push_frame(reinterpret_cast<const char *>(frame.buf.data()), frame.size);
        else if (live_.load())
            queue_->push_frame(silence_.data(), silence_.size());
    }

    void onFrameRequested(pj::MediaFrame &frame) override {
        frame.type = PJMEDIA_FRAME_TYPE_AUDIO;
        frame.buf.resize(silence_.size());
        frame.size = static_cast<unsigned>(silence_.size());
        std::lock_guard<std::mutex> guard(lock_);
        if (queue_)
            queue_->pull_frame(reinterpret_cast<char *>(frame.buf.data()));
        else
            std::fill(frame.buf.begin(), frame.buf.end(), 0);
    }

private:
    const std::string silence_;
    std::mutex lock_;
    FrameQueue *queue_ = nullptr;
    std::atomic<bool> live_{false};
};

} // namespace offhook

#endif
