// Appended to pjproject's pjsua2.i: what Python sees of media_family.hpp.

%{
#include "media_family.hpp"
%}

namespace offhook {

void set_media_family(int account, bool ipv6, const std::string &bound, const std::string &public_address);

} // namespace offhook
