// The requests that the library would leave without an answer, or answer with 500: a SIP module that asks its subclass,
// in Python, what to say. It stands behind the transactions, which absorb what is sent again, and before the dialogs.
//
// docker/build-pjsua2 compiles this into its pjsua2; telephony/sip/requests.py has the rules.

#ifndef OFFHOOK_REQUESTS_HPP
#define OFFHOOK_REQUESTS_HPP

#include <string>
#include <utility>
#include <vector>

#include <pjsua2.hpp>

#include "keep_alive.hpp"

namespace offhook {

// One request, and what is said to it.
class Request {
public:
    std::string method;
    std::string message; // as it came
    std::string source;  // "ip:port", "[ip6]:port"
    bool tagged;         // it belongs to a dialog, by its To
    bool in_dialog;      // and we have that dialog
    bool subscribed;     // which has a subscription: a NOTIFY is the library's
    bool datagram;       // what was cut stays cut

    // A header of the answer.
    void add_header(const std::string &name, const std::string &value) { headers.emplace_back(name, value); }

    std::vector<std::pair<std::string, std::string>> headers;
};

// Made, opened, closed and asked on the pj thread. One per process.
class RequestDoor {
public:
    RequestDoor() = default;
    virtual ~RequestDoor() { close(); }

    // The status to answer with, or 0: the request is the library's.
    virtual int onRequest(Request &) { return 0; }

    // After libInit. False: the library would not have it.
    bool open() {
        pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
        if (open_ || !endpoint)
            return open_;
        pj_bzero(&module_, sizeof(module_));
        module_.name = pj_str(const_cast<char *>("mod-offhook-requests"));
        module_.id = -1;
        module_.priority = PJSIP_MOD_PRIORITY_TSX_LAYER + 8;
        module_.on_rx_request = &RequestDoor::on_request;
        open_ = pjsip_endpt_register_module(endpoint, &module_) == PJ_SUCCESS;
        if (open_) {
            instance() = this;
            pjsip_tpmgr_set_drop_data_cb(pjsip_endpt_get_tpmgr(endpoint), &RequestDoor::on_dropped);
        }
        return open_;
    }

    // Before libDestroy.
    void close() {
        if (!open_)
            return;
        open_ = false;
        instance() = nullptr;
        pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
        if (!endpoint)
            return;
        pjsip_tpmgr_set_drop_data_cb(pjsip_endpt_get_tpmgr(endpoint), nullptr);
        pjsip_endpt_unregister_module(endpoint, &module_);
    }

private:
    static RequestDoor *&instance() {
        static RequestDoor *one = nullptr;
        return one;
    }

    static std::string host_and_port(const std::string &host, int port) {
        return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
    }

    static bool is(const pjsip_method &method, const char *name) { return pj_strcmp2(&method.name, name) == 0; }

    static pj_bool_t on_request(pjsip_rx_data *rdata) {
        RequestDoor *door = instance();
        const pjsip_method &method = rdata->msg_info.msg->line.req.method;
        if (!door || method.id == PJSIP_ACK_METHOD || method.id == PJSIP_CANCEL_METHOD || method.id == PJSIP_BYE_METHOD)
            return PJ_FALSE;
        Request request;
        request.method.assign(method.name.ptr, method.name.slen);
        request.message.assign(rdata->msg_info.msg_buf, rdata->msg_info.len);
        request.source = host_and_port(rdata->pkt_info.src_name, rdata->pkt_info.src_port);
        request.datagram = (rdata->tp_info.transport->flag & PJSIP_TRANSPORT_DATAGRAM) != 0;
        find_dialog(rdata, request);
        const int status = door->onRequest(request);
        if (status < 200 || status > 699)
            return PJ_FALSE;
        answer(rdata, request, status);
        return PJ_TRUE;
    }

    static void find_dialog(pjsip_rx_data *rdata, Request &request) {
        const pj_str_t &ours = rdata->msg_info.to->tag;
        request.tagged = ours.slen != 0;
        request.in_dialog = request.subscribed = false;
        if (!request.tagged)
            return;
        pjsip_dialog *dialog =
            pjsip_ua_find_dialog(&rdata->msg_info.cid->id, &ours, &rdata->msg_info.from->tag, PJ_FALSE);
        request.in_dialog = dialog != nullptr;
        for (unsigned i = 0; dialog && i < dialog->usage_cnt; ++i)
            request.subscribed = request.subscribed || dialog->usage[i] == pjsip_evsub_instance();
    }

    // With a transaction in a dialog and to an INVITE, where an answer may get lost; else without one, since whoever asks
    // a thousand times must not fill the table of transactions.
    static void answer(pjsip_rx_data *rdata, const Request &request, int status) {
        pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
        pjsip_hdr headers;
        pj_list_init(&headers);
        for (const auto &one : request.headers) {
            const pj_str_t name = {const_cast<char *>(one.first.data()), static_cast<pj_ssize_t>(one.first.size())};
            const pj_str_t value = {const_cast<char *>(one.second.data()), static_cast<pj_ssize_t>(one.second.size())};
            pj_list_push_back(&headers, pjsip_generic_string_hdr_create(rdata->tp_info.pool, &name, &value));
        }
        if (request.in_dialog)
            pjsip_endpt_respond(endpoint, &instance()->module_, rdata, status, nullptr, &headers, nullptr, nullptr);
        else
            pjsip_endpt_respond_stateless(endpoint, rdata, status, nullptr, &headers, nullptr);
    }

    // What the library reads over. Newlines between messages are pings. A message on a connection that does not fit into
    // the buffer: where it ends is not known, so nothing after it can be read. The sender is told, and the connection
    // closed.
    static void on_dropped(pjsip_tp_dropped_data *dropped) {
        if ((dropped->tp->flag & PJSIP_TRANSPORT_DATAGRAM) || !dropped->data)
            return;
        const std::string data(static_cast<const char *>(dropped->data), dropped->len);
        if (dropped->status == PJ_EIGNORED)
            Connection::on_newlines(dropped->tp, data);
        if (dropped->status != PJSIP_ERXOVERFLOW)
            return;
        const std::string said = too_large(data);
        if (!said.empty())
            send_bytes(dropped->tp, said);
        pjsip_transport_shutdown2(dropped->tp, PJ_TRUE);
    }

    // 513 with the headers that RFC 3261 section 8.2.6.2 wants back, or "" where there is no request to be seen.
    static std::string too_large(const std::string &packet) {
        const size_t end = packet.find("\r\n\r\n");
        const size_t first = packet.find("\r\n");
        if (end == std::string::npos || packet.compare(0, 4, "ACK ") == 0 || packet.compare(0, 8, "SIP/2.0 ") == 0)
            return "";
        std::string said = "SIP/2.0 513 Message Too Large\r\n";
        bool wanted = false;
        for (size_t at = first + 2; at < end + 2;) {
            const size_t next = packet.find("\r\n", at) + 2;
            const std::string line = packet.substr(at, next - at);
            if (line[0] != ' ' && line[0] != '\t')
                wanted = is_kept(line.substr(0, line.find_first_of(": \t")));
            if (wanted)
                said += line;
            at = next;
        }
        return said + "Content-Length: 0\r\n\r\n";
    }

    static bool is_kept(std::string name) {
        for (char &letter : name)
            letter = static_cast<char>(pj_tolower(letter));
        for (const char *kept : {"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq"})
            if (name == kept)
                return true;
        return false;
    }

    pjsip_module module_;
    bool open_ = false;
};

} // namespace offhook

#endif
