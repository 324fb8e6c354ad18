// Appended to pjproject's pjsua2.i: SRTP's ciphers by OpenSSL, from the import on.

%{
#include "srtp_kernel.hpp"
%}

namespace offhook {
bool srtp_by_openssl();
}

%init %{
offhook::srtp_by_openssl();
%}
