// Of which family (IPv4, IPv6) an account's next call has its media, and where the sockets are bound. The library has one
// address for both families, and by itself asks the resolver for our own addresses at each call.
//
// docker/build-pjsua2 compiles this into its pjsua2; telephony/families.py says which family a call gets.

#ifndef OFFHOOK_MEDIA_FAMILY_HPP
#define OFFHOOK_MEDIA_FAMILY_HPP

#include <set>
#include <string>

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace offhook {

// The library keeps pointers: the few addresses that a process has stay where they are.
inline pj_str_t lasting(const std::string &text) {
    static std::set<std::string> kept;
    return pj_str(const_cast<char *>(kept.insert(text).first->c_str()));
}

// On the pj thread, before the library makes the call's media. bound: "" for all addresses; public_address: "" for that
// of the socket.
inline void set_media_family(int account, bool ipv6, const std::string &bound, const std::string &public_address) {
    if (!pjsua_acc_is_valid(account))
        return;
    pjsua_acc_config &config = pjsua_var.acc[account].cfg;
    config.ipv6_media_use = ipv6 ? PJSUA_IPV6_ENABLED_USE_IPV6_ONLY : PJSUA_IPV6_DISABLED;
    config.rtp_cfg.bound_addr = lasting(bound);
    config.rtp_cfg.public_addr = lasting(public_address);
}

} // namespace offhook

#endif
