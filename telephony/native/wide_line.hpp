// A call's audio at 16 kHz, past the conference: a port that stands between a stream at 16 kHz (G.722) and the conference,
// which runs at 8 kHz for all calls. The conference gives it its ticks; the audio goes straight between the stream and
// the call's queue. Without a queue (on hold, or where two calls hear each other) it is a port at 8 kHz like any other.
//
// docker/build-pjsua2 compiles this into its pjsua2; telephony/wideband.py says when it is used.

#ifndef OFFHOOK_WIDE_LINE_HPP
#define OFFHOOK_WIDE_LINE_HPP

#include <memory>
#include <mutex>
#include <vector>

#include <pjsua2.hpp>

#include "frame_queue.hpp"

namespace offhook {

// Which queue a call's streams move. The lock is held while one of its frames is copied: no longer.
struct WideSwitch {
    std::mutex lock;
    FrameQueue *queue = nullptr;
};

// The port. C, as pjmedia's are: it lives in a pool of its own, until the stream has gone, whose lock it shares.
struct WidePort {
    static constexpr unsigned NARROW_HZ = 8000, WIDE_HZ = 16000, TICK_MS = 20;
    static constexpr unsigned NARROW = NARROW_HZ * TICK_MS / 1000, WIDE = WIDE_HZ * TICK_MS / 1000; // samples of a tick

    pjmedia_port base; // must be the first
    pj_pool_t *pool;
    pjmedia_port *stream;
    unsigned stream_samples; // of the stream's own frame, by its ptime
    std::shared_ptr<WideSwitch> with;
    pjmedia_resample *down, *up;
    std::vector<pj_int16_t> in, out; // what the stream's frames leave over, where they aren't 20 ms
    pj_int16_t wide[WIDE], next[WIDE];

    static WidePort *of(pjmedia_port *port) { return reinterpret_cast<WidePort *>(port); }

    // The conference's turn to hear the call. The agent's frame is fetched before the caller's is handed over, as the
    // conference does it with any port: a recording counts on it.
    static pj_status_t get_frame(pjmedia_port *port, pjmedia_frame *frame) {
        WidePort *self = of(port);
        {
            std::lock_guard<std::mutex> guard(self->with->lock);
            if (self->with->queue)
                self->with->queue->pull_frame(reinterpret_cast<char *>(self->next));
        }
        self->read(frame->timestamp);
        {
            std::lock_guard<std::mutex> guard(self->with->lock);
            if (self->with->queue) {
                self->with->queue->push_frame(reinterpret_cast<const char *>(self->wide), sizeof(self->wide));
                frame->type = PJMEDIA_FRAME_TYPE_NONE;
                frame->size = 0;
                return PJ_SUCCESS;
            }
        }
        pjmedia_resample_run(self->down, self->wide, static_cast<pj_int16_t *>(frame->buf));
        frame->type = PJMEDIA_FRAME_TYPE_AUDIO;
        frame->size = 2 * NARROW;
        return PJ_SUCCESS;
    }

    // The conference's turn to be heard.
    static pj_status_t put_frame(pjmedia_port *port, pjmedia_frame *frame) {
        WidePort *self = of(port);
        pj_int16_t sent[WIDE];
        bool direct;
        {
            std::lock_guard<std::mutex> guard(self->with->lock);
            direct = self->with->queue != nullptr;
        }
        if (direct)
            pjmedia_copy_samples(sent, self->next, WIDE);
        else if (frame->type == PJMEDIA_FRAME_TYPE_AUDIO && frame->size >= 2 * NARROW)
            pjmedia_resample_run(self->up, static_cast<const pj_int16_t *>(frame->buf), sent);
        else
            pjmedia_zero_samples(sent, WIDE);
        pjmedia_zero_samples(self->next, WIDE);
        self->write(sent, frame->timestamp);
        return PJ_SUCCESS;
    }

    // 20 ms of the caller's into `wide`; silence where the stream has none.
    void read(const pj_timestamp &time) {
        while (in.size() < WIDE) {
            const size_t before = in.size();
            in.resize(before + stream_samples);
            pjmedia_frame frame;
            pj_bzero(&frame, sizeof(frame));
            frame.buf = &in[before];
            frame.size = 2 * stream_samples;
            frame.timestamp = time;
            if (pjmedia_port_get_frame(stream, &frame) != PJ_SUCCESS || frame.type != PJMEDIA_FRAME_TYPE_AUDIO)
                pjmedia_zero_samples(&in[before], stream_samples);
        }
        pjmedia_copy_samples(wide, in.data(), WIDE);
        in.erase(in.begin(), in.begin() + WIDE);
    }

    void write(const pj_int16_t *samples, const pj_timestamp &time) {
        out.insert(out.end(), samples, samples + WIDE);
        size_t at = 0;
        for (; out.size() - at >= stream_samples; at += stream_samples) {
            pjmedia_frame frame;
            pj_bzero(&frame, sizeof(frame));
            frame.type = PJMEDIA_FRAME_TYPE_AUDIO;
            frame.buf = &out[at];
            frame.size = 2 * stream_samples;
            frame.timestamp = time;
            pjmedia_port_put_frame(stream, &frame);
        }
        out.erase(out.begin(), out.begin() + at);
    }

    static void on_destroy(void *given) {
        WidePort *self = static_cast<WidePort *>(given);
        pj_pool_t *pool = self->pool;
        if (self->down)
            pjmedia_resample_destroy(self->down);
        if (self->up)
            pjmedia_resample_destroy(self->up);
        self->~WidePort();
        pj_pool_release(pool);
    }

    // Made in front of this stream; nullptr where there is no memory.
    static WidePort *create(pjmedia_port *stream, std::shared_ptr<WideSwitch> with) {
        pj_pool_t *pool = pjmedia_endpt_create_pool(pjsua_get_pjmedia_endpt(), "wide%p", 2048, 1024);
        if (!pool)
            return nullptr;
        WidePort *made = new (pj_pool_zalloc(pool, sizeof(WidePort))) WidePort();
        made->pool = pool;
        made->stream = stream;
        made->stream_samples = PJMEDIA_PIA_SPF(&stream->info);
        made->with = std::move(with);
        made->in.reserve(WIDE + made->stream_samples);
        made->out.reserve(WIDE + made->stream_samples);
        pj_str_t name = pj_str(pool->obj_name);
        pjmedia_port_info_init(&made->base.info, &name, PJMEDIA_SIG_CLASS_APP('W', 'I', 'D'), NARROW_HZ, 1, 16, NARROW);
        made->base.get_frame = &get_frame;
        made->base.put_frame = &put_frame;
        const bool good = made->stream_samples && stream->grp_lock &&
                          pjmedia_resample_create(pool, PJ_TRUE, PJ_FALSE, 1, WIDE_HZ, NARROW_HZ, WIDE, &made->down) == PJ_SUCCESS &&
                          pjmedia_resample_create(pool, PJ_TRUE, PJ_FALSE, 1, NARROW_HZ, WIDE_HZ, NARROW, &made->up) == PJ_SUCCESS;
        if (!good || pj_grp_lock_add_handler(stream->grp_lock, pool, made, &on_destroy) != PJ_SUCCESS) {
            on_destroy(made);
            return nullptr;
        }
        made->base.grp_lock = stream->grp_lock; // the conference holds it for as long as it may call either
        return made;
    }
};

// One call's, as Python has it. On the pj thread; whoever attaches a queue keeps it alive until after detach(), which
// waits for a frame that is being copied.
class WideLine {
public:
    WideLine() : with_(std::make_shared<WideSwitch>()) {}

    ~WideLine() { detach(); }

    // Stand in front of a stream that was made, where it is one at 16 kHz; returns whether.
    bool splice(pj::OnStreamCreatedParam &given) {
        pjmedia_port *stream = static_cast<pjmedia_port *>(given.pPort);
        if (!stream || PJMEDIA_PIA_SRATE(&stream->info) != WidePort::WIDE_HZ || PJMEDIA_PIA_CCNT(&stream->info) != 1)
            return false;
        WidePort *made = WidePort::create(stream, with_);
        if (!made)
            return false;
        given.pPort = &made->base;
        return true;
    }

    // Move this queue's frames, of 20 ms at 16 kHz, from now on.
    void attach(FrameQueue *queue) {
        std::lock_guard<std::mutex> guard(with_->lock);
        with_->queue = queue;
    }

    void detach() { attach(nullptr); }

private:
    const std::shared_ptr<WideSwitch> with_;
};

} // namespace offhook

#endif
