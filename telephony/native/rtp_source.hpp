// Whose RTP is a call's: a media transport that stands between a stream and its socket (over SRTP, where there is one)
// and lets through what comes from one source. That source is learnt once, and is where we send; an offer or answer of
// the other side alone moves it. The library by itself follows whoever sends for long enough.
//
// docker/build-pjsua2 compiles this into its pjsua2; settings.py says what the modes mean.

#ifndef OFFHOOK_RTP_SOURCE_HPP
#define OFFHOOK_RTP_SOURCE_HPP

#include <algorithm>
#include <atomic>
#include <bitset>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include <pjsua2.hpp>

namespace offhook {

inline long long steady_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

// What the streams of one call share: the mode, and what was counted. Times are ms of a clock that never goes back.
class RtpRule {
public:
    enum Mode { FOLLOW, LEARN, SDP };

    RtpRule(Mode given_mode, long long given_window_ms, const std::string &signalling)
        : mode(given_mode), window_ms(given_window_ms) {
        pj_str_t text = pj_str(const_cast<char *>(signalling.c_str()));
        has_signalling = !signalling.empty() && pj_sockaddr_parse(pj_AF_UNSPEC(), 0, &text, &signalling_ip) == PJ_SUCCESS;
    }

    const Mode mode;
    const long long window_ms;
    pj_sockaddr signalling_ip; // where the INVITE came from: a NAT shows the same address for the call's RTP
    bool has_signalling;
    std::atomic<long long> opened_ms{0}; // when a source may be learnt, at the latest: the call was confirmed
    std::atomic<long long> foreign{0};
};

// Decides for each packet of one stream. Pure: the time is given. Any thread.
class SourceLock {
public:
    struct Verdict {
        bool taken;
        bool turn; // we send there from now on
    };

    explicit SourceLock(std::shared_ptr<RtpRule> rule) : rule_(std::move(rule)) {
        pj_bzero(&sdp_, sizeof(sdp_));
        pj_bzero(&source_, sizeof(source_));
        pj_bzero(&left_, sizeof(left_));
        pj_bzero(&sent_to_, sizeof(sent_to_));
    }

    // The stream begins, or begins again, with this address in the other side's SDP; we send there now.
    void expect(const pj_sockaddr &sdp, long long now) {
        std::lock_guard<std::mutex> guard(lock_);
        sent_to_ = sdp;
        opened_ = now;
        if (!pj_sockaddr_has_addr(&sdp))
            return; // held the old way, with 0.0.0.0: nobody moves
        if (known(sdp_) && pj_sockaddr_cmp(&sdp, &sdp_) != 0) {
            left_ = rank_ ? source_ : sdp_; // what is under way from there must not be taken for a first packet
            rank_ = 0;
        }
        sdp_ = sdp;
    }

    // The other side made an offer. Where it stays silent for a while, another source may be learnt.
    void reopen(long long now) {
        std::lock_guard<std::mutex> guard(lock_);
        opened_ = now;
    }

    // `media`: it looks like RTP of a payload type that was agreed on. Any else is no reason to learn a source.
    Verdict judge(const pj_sockaddr &from, bool media, long long now) {
        std::lock_guard<std::mutex> guard(lock_);
        if (known(sdp_) && pj_sockaddr_cmp(&from, &sdp_) == 0)
            return media ? take(from, EXACT, now) : Verdict{true, false};
        if (rank_ && pj_sockaddr_cmp(&from, &source_) == 0)
            return take(from, rank_, now);
        if (media && rule_->mode == RtpRule::LEARN && may_learn(from, now))
            return take(from, rank_of(from), now);
        rule_->foreign.fetch_add(1, std::memory_order_relaxed);
        return {false, false};
    }

    // RTCP comes from another port; its address must be the one that RTP has, or should have.
    bool judge_rtcp(const pj_sockaddr &from) {
        std::lock_guard<std::mutex> guard(lock_);
        if (rank_of(from) == SAME_IP || (rank_ && same_ip(from, source_)))
            return true;
        rule_->foreign.fetch_add(1, std::memory_order_relaxed);
        return false;
    }

private:
    // How sure we are of a source: it has an address that nothing speaks for, one that SDP or signalling speak for, or
    // SDP's own address and port.
    enum Rank { NONE, ANY, SAME_IP, EXACT };
    static constexpr long long SILENT_MS = 500;

    Verdict take(const pj_sockaddr &from, int rank, long long now) {
        source_ = from;
        rank_ = rank;
        heard_ = now;
        const bool turn = pj_sockaddr_cmp(&from, &sent_to_) != 0;
        sent_to_ = from;
        return {true, turn};
    }

    bool may_learn(const pj_sockaddr &from, long long now) const {
        const long long opened = std::max(opened_, rule_->opened_ms.load(std::memory_order_relaxed));
        if (now - opened > rule_->window_ms || (known(left_) && pj_sockaddr_cmp(&from, &left_) == 0))
            return false;
        if (rank_of(from) > rank_)
            return true; // a stranger was the first, and here comes somebody who has more to say for himself
        // Offered again with the same address, which a NAT had hidden: the source of before has gone.
        return rank_ && rank_ < EXACT && rank_of(from) == rank_ && heard_ < opened && now - opened >= SILENT_MS;
    }

    int rank_of(const pj_sockaddr &from) const {
        const bool spoken_for = same_ip(from, sdp_) || (rule_->has_signalling && same_ip(from, rule_->signalling_ip));
        return spoken_for ? SAME_IP : ANY;
    }

    static bool known(const pj_sockaddr &address) { return address.addr.sa_family && pj_sockaddr_has_addr(&address); }

    static bool same_ip(const pj_sockaddr &one, const pj_sockaddr &two) {
        return known(two) && one.addr.sa_family == two.addr.sa_family &&
               pj_memcmp(pj_sockaddr_get_addr(&one), pj_sockaddr_get_addr(&two), pj_sockaddr_get_addr_len(&one)) == 0;
    }

    const std::shared_ptr<RtpRule> rule_;
    std::mutex lock_;
    pj_sockaddr sdp_, source_, left_, sent_to_;
    int rank_ = NONE;
    long long opened_ = 0, heard_ = -1;
};

// The media transport. C, as pjmedia's are: it lives in a pool of the library, until the transport below it has gone.
struct SourceTransport {
    pjmedia_transport base; // must be the first
    pj_pool_t *pool;
    pjmedia_transport *below;
    std::shared_ptr<RtpRule> rule;
    SourceLock *lock;
    std::bitset<128> types; // payload types of either SDP
    void *user_data;
    void (*rtp_cb)(void *, void *, pj_ssize_t);
    void (*rtp_cb2)(pjmedia_tp_cb_param *);
    void (*rtcp_cb)(void *, void *, pj_ssize_t);

    static SourceTransport *of(pjmedia_transport *transport) { return reinterpret_cast<SourceTransport *>(transport); }

    static pj_status_t get_info(pjmedia_transport *tp, pjmedia_transport_info *info) {
        return pjmedia_transport_get_info(of(tp)->below, info);
    }

    bool is_media(const pjmedia_tp_cb_param *param) const {
        const unsigned char *head = static_cast<const unsigned char *>(param->pkt);
        return param->size >= 12 && head[0] >> 6 == 2 && (types.none() || types.test(head[1] & 0x7F));
    }

    static void on_rtp(pjmedia_tp_cb_param *param) {
        SourceTransport *self = static_cast<SourceTransport *>(param->user_data);
        if (!self || !self->user_data)
            return;
        pjmedia_tp_cb_param mine = *param;
        mine.user_data = self->user_data;
        mine.rem_switch = PJ_FALSE;
        SourceLock::Verdict verdict{true, false};
        if (self->rule->mode != RtpRule::FOLLOW && param->size >= 0 && param->src_addr) {
            verdict = self->lock->judge(*static_cast<const pj_sockaddr *>(param->src_addr), self->is_media(param), steady_ms());
            mine.src_addr = nullptr; // with none, the stream has nothing to follow
        }
        if (!verdict.taken)
            return;
        if (self->rtp_cb2)
            self->rtp_cb2(&mine);
        else if (self->rtp_cb)
            self->rtp_cb(mine.user_data, mine.pkt, mine.size);
        param->rem_switch = verdict.turn || mine.rem_switch;
    }

    static void on_rtcp(void *user_data, void *packet, pj_ssize_t size) {
        SourceTransport *self = static_cast<SourceTransport *>(user_data);
        if (!self || !self->user_data || !self->rtcp_cb)
            return;
        if (self->rule->mode != RtpRule::FOLLOW && size >= 0) {
            pjmedia_transport_info info;
            pjmedia_transport_info_init(&info);
            if (pjmedia_transport_get_info(self->below, &info) == PJ_SUCCESS &&
                info.src_rtcp_name.addr.sa_family && !self->lock->judge_rtcp(info.src_rtcp_name))
                return;
        }
        self->rtcp_cb(self->user_data, packet, size);
    }

    static pj_status_t attach2(pjmedia_transport *tp, pjmedia_transport_attach_param *param) {
        SourceTransport *self = of(tp);
        self->lock->expect(param->rem_addr, steady_ms());
        self->rtp_cb = param->rtp_cb;
        self->rtp_cb2 = param->rtp_cb2;
        self->rtcp_cb = param->rtcp_cb;
        self->user_data = param->user_data;
        param->rtp_cb = nullptr;
        param->rtp_cb2 = &on_rtp;
        param->rtcp_cb = &on_rtcp;
        param->user_data = self;
        const pj_status_t status = pjmedia_transport_attach2(self->below, param);
        if (status != PJ_SUCCESS)
            self->user_data = nullptr;
        return status;
    }

    static void detach(pjmedia_transport *tp, void *) {
        SourceTransport *self = of(tp);
        if (!self->user_data)
            return;
        pjmedia_transport_detach(self->below, self); // waits for a callback that is under way
        self->user_data = nullptr;
    }

    static pj_status_t send_rtp(pjmedia_transport *tp, const void *packet, pj_size_t size) {
        return pjmedia_transport_send_rtp(of(tp)->below, packet, size);
    }

    static pj_status_t send_rtcp(pjmedia_transport *tp, const void *packet, pj_size_t size) {
        return pjmedia_transport_send_rtcp(of(tp)->below, packet, size);
    }

    static pj_status_t send_rtcp2(pjmedia_transport *tp, const pj_sockaddr_t *to, unsigned length, const void *packet,
                                  pj_size_t size) {
        return pjmedia_transport_send_rtcp2(of(tp)->below, to, length, packet, size);
    }

    static pj_status_t media_create(pjmedia_transport *tp, pj_pool_t *pool, unsigned options,
                                    const pjmedia_sdp_session *remote, unsigned index) {
        return pjmedia_transport_media_create(of(tp)->below, pool, options, remote, index);
    }

    static pj_status_t encode_sdp(pjmedia_transport *tp, pj_pool_t *pool, pjmedia_sdp_session *local,
                                  const pjmedia_sdp_session *remote, unsigned index) {
        if (remote)
            of(tp)->lock->reopen(steady_ms());
        return pjmedia_transport_encode_sdp(of(tp)->below, pool, local, remote, index);
    }

    static pj_status_t media_start(pjmedia_transport *tp, pj_pool_t *pool, const pjmedia_sdp_session *local,
                                   const pjmedia_sdp_session *remote, unsigned index) {
        std::bitset<128> types;
        for (const pjmedia_sdp_session *sdp : {local, remote})
            for (unsigned i = 0; sdp && index < sdp->media_count && i < sdp->media[index]->desc.fmt_count; ++i)
                types.set(pj_strtoul(&sdp->media[index]->desc.fmt[i]) & 0x7F);
        of(tp)->types = types;
        return pjmedia_transport_media_start(of(tp)->below, pool, local, remote, index);
    }

    static pj_status_t media_stop(pjmedia_transport *tp) { return pjmedia_transport_media_stop(of(tp)->below); }

    static pj_status_t simulate_lost(pjmedia_transport *tp, pjmedia_dir dir, unsigned percent) {
        return pjmedia_transport_simulate_lost(of(tp)->below, dir, percent);
    }

    static pj_status_t destroy(pjmedia_transport *tp) {
        pj_grp_lock_t *lock = tp->grp_lock;
        pjmedia_transport_close(of(tp)->below);
        if (lock)
            pj_grp_lock_dec_ref(lock);
        else
            on_destroy(of(tp));
        return PJ_SUCCESS;
    }

    static void on_destroy(void *given) {
        SourceTransport *self = static_cast<SourceTransport *>(given);
        pj_pool_t *pool = self->pool;
        delete self->lock;
        self->rule.~shared_ptr<RtpRule>();
        pj_pool_release(pool);
    }
};

inline pjmedia_transport_op *source_operations() {
    static pjmedia_transport_op operations = {
        &SourceTransport::get_info,     nullptr,
        &SourceTransport::detach,       &SourceTransport::send_rtp,
        &SourceTransport::send_rtcp,    &SourceTransport::send_rtcp2,
        &SourceTransport::media_create, &SourceTransport::encode_sdp,
        &SourceTransport::media_start,  &SourceTransport::media_stop,
        &SourceTransport::simulate_lost, &SourceTransport::destroy,
        &SourceTransport::attach2,
    };
    return &operations;
}

// One call's rule, as Python has it; the transports that were made with it may outlive it.
class RtpSource {
public:
    // mode: "follow", "learn" or "sdp". window_ms: how long a source can be learnt. signalling: IP of the INVITE, or "".
    RtpSource(const std::string &mode, long window_ms, const std::string &signalling)
        : rule_(std::make_shared<RtpRule>(mode == "follow" ? RtpRule::FOLLOW : mode == "sdp" ? RtpRule::SDP : RtpRule::LEARN,
                                          window_ms, signalling)) {}

    // The call was confirmed: whoever sends from now on may have waited for it.
    void reopen() { rule_->opened_ms.store(steady_ms()); }

    // Packets that were dropped since they came from elsewhere.
    long long foreign_packets() const { return rule_->foreign.load(); }

    // Put the rule in front of the media transport that the library is about to use; without memory it stays as it is.
    void guard(pj::OnCreateMediaTransportParam &given) {
        pjmedia_transport *below = static_cast<pjmedia_transport *>(given.mediaTp);
        pj_pool_t *pool = below ? pjmedia_endpt_create_pool(pjsua_get_pjmedia_endpt(), "source%p", 1024, 512) : nullptr;
        if (!pool)
            return;
        SourceTransport *made = static_cast<SourceTransport *>(pj_pool_zalloc(pool, sizeof(SourceTransport)));
        made->pool = pool;
        made->below = below;
        new (&made->rule) std::shared_ptr<RtpRule>(rule_);
        made->lock = new SourceLock(rule_);
        pj_ansi_strxcpy(made->base.name, pool->obj_name, sizeof(made->base.name));
        made->base.type = static_cast<pjmedia_transport_type>(PJMEDIA_TRANSPORT_TYPE_USER + 1);
        made->base.op = source_operations();
        if (below->grp_lock) {
            made->base.grp_lock = below->grp_lock;
            pj_grp_lock_add_ref(below->grp_lock);
            pj_grp_lock_add_handler(below->grp_lock, pool, made, &SourceTransport::on_destroy);
        }
        given.mediaTp = &made->base;
    }

private:
    const std::shared_ptr<RtpRule> rule_;
};

// The decisions alone, for tests: addresses are "ip:port", times ms.
class SourceTrial {
public:
    SourceTrial(const std::string &mode, long window_ms, const std::string &signalling)
        : rule_(std::make_shared<RtpRule>(mode == "sdp" ? RtpRule::SDP : RtpRule::LEARN, window_ms, signalling)), lock_(rule_) {}

    void expect(const std::string &address, long now) { lock_.expect(parsed(address), now); }
    void reopen(long now) { lock_.reopen(now); }
    bool rtcp(const std::string &address) { return lock_.judge_rtcp(parsed(address)); }
    long long foreign_packets() const { return rule_->foreign.load(); }

    // "dropped", "taken", or "turned": taken, and we send there from now on.
    std::string judge(const std::string &address, bool media, long now) {
        const SourceLock::Verdict verdict = lock_.judge(parsed(address), media, now);
        return verdict.turn ? "turned" : verdict.taken ? "taken" : "dropped";
    }

private:
    static pj_sockaddr parsed(const std::string &address) {
        pj_sockaddr found;
        pj_str_t text = pj_str(const_cast<char *>(address.c_str()));
        if (pj_sockaddr_parse(pj_AF_UNSPEC(), 0, &text, &found) != PJ_SUCCESS)
            pj_bzero(&found, sizeof(found));
        return found;
    }

    const std::shared_ptr<RtpRule> rule_;
    SourceLock lock_;
};

} // namespace offhook

#endif
