// Pings on connections (RFC 5626): CRLF CRLF asks, a single CRLF answers. The library sends pings by itself where a
// connection is idle, answers none, and doesn't look for an answer to its own.
//
// docker/build-pjsua2 compiles this into its pjsua2; telephony/keep_alive.py has the rules. All of it is for the pj thread.

#ifndef OFFHOOK_KEEP_ALIVE_HPP
#define OFFHOOK_KEEP_ALIVE_HPP

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <pjsua2.hpp>

namespace offhook {

// Bytes that are no message, on the way of one.
inline bool send_bytes(pjsip_transport *transport, const std::string &bytes) {
    pjsip_tpselector chosen;
    pj_bzero(&chosen, sizeof(chosen));
    chosen.type = PJSIP_TPSELECTOR_TRANSPORT;
    chosen.u.transport = transport;
    const auto type = static_cast<pjsip_transport_type_e>(transport->key.type);
    const pj_status_t status =
        pjsip_tpmgr_send_raw(transport->tpmgr, type, &chosen, nullptr, bytes.data(), bytes.size(),
                             &transport->key.rem_addr, transport->addr_len, nullptr, nullptr);
    return status == PJ_SUCCESS || status == PJ_EPENDING;
}

inline double seconds_since(const pj_timestamp &then) {
    pj_timestamp now;
    pj_get_timestamp(&now);
    return pj_elapsed_msec64(&then, &now) / 1000.0;
}

// A connection that we keep alive: the one by which a message came. Over UDP, and once it has ended, it isn't there.
class Connection {
public:
    explicit Connection(pj::SipRxData &came) {
        const pjsip_rx_data *rdata = static_cast<pjsip_rx_data *>(came.pjRxData);
        pjsip_transport *found = rdata ? rdata->tp_info.transport : nullptr;
        if (!found || (found->flag & PJSIP_TRANSPORT_DATAGRAM) || pjsip_transport_add_ref(found) != PJ_SUCCESS)
            return;
        transport_ = found;
        all().push_back(this);
    }

    ~Connection() { release(); }

    Connection(const Connection &) = delete;
    Connection &operator=(const Connection &) = delete;

    bool there() const { return transport_ && !transport_->is_shutdown && !transport_->is_destroying; }

    // Whether both are one connection.
    bool same(const Connection &other) const { return transport_ && transport_ == other.transport_; }

    bool ping() { return there() && send_bytes(transport_, "\r\n\r\n"); }

    // How long nothing has been received, in s.
    double silent_s() const { return transport_ ? seconds_since(transport_->last_recv_ts) : 0; }

    // Single CRLFs that have come.
    long pongs() const { return pongs_; }

    // The other side is gone: what waits on the connection fails at once.
    void end() {
        if (there())
            pjsip_transport_shutdown2(transport_, PJ_TRUE);
    }

    // Hold it no longer; before libDestroy.
    void release() {
        if (!transport_)
            return;
        all().erase(std::remove(all().begin(), all().end(), this), all().end());
        pjsip_transport *held = transport_;
        transport_ = nullptr;
        pjsip_transport_dec_ref(held);
    }

    // Newlines between messages, of a connection: a ping is answered, an answer counted.
    static void on_newlines(pjsip_transport *transport, const std::string &newlines) {
        if (newlines.find("\r\n\r\n") != std::string::npos) {
            send_bytes(transport, "\r\n");
            return;
        }
        if (newlines != "\r\n")
            return;
        for (Connection *one : all())
            if (one->transport_ == transport) {
                ++one->pongs_;
                return;
            }
        half_ping(transport);
    }

private:
    static std::vector<Connection *> &all() {
        static std::vector<Connection *> connections;
        return connections;
    }

    // The two CRLFs of a ping may come one by one. What is remembered may outlive its connection: at worst another one
    // at the same place gets a CRLF too many, which says nothing.
    static void half_ping(pjsip_transport *transport) {
        static std::map<pjsip_transport *, pj_timestamp> halves;
        constexpr double TOGETHER_S = 1;
        constexpr size_t MOST = 512;
        const auto first = halves.find(transport);
        const bool whole = first != halves.end() && seconds_since(first->second) < TOGETHER_S;
        if (first != halves.end())
            halves.erase(first);
        if (whole) {
            send_bytes(transport, "\r\n");
            return;
        }
        if (halves.size() >= MOST)
            halves.clear();
        pj_get_timestamp(&halves[transport]);
    }

    pjsip_transport *transport_ = nullptr;
    long pongs_ = 0;
};

} // namespace offhook

#endif
