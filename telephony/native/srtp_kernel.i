// Appended to pjproject's pjsua2.i: what Python sees of srtp_kernel.hpp.

%{
#include "srtp_kernel.hpp"
%}

namespace offhook {
bool srtp_by_openssl();
}
