// Appended to pjproject's pjsua2.i: what Python sees of rtp_source.hpp.

%{
#include "rtp_source.hpp"
%}

namespace offhook {

class RtpSource {
public:
    RtpSource(const std::string &mode, long window_ms, const std::string &signalling);
    void reopen();
    long long foreign_packets() const;
    void guard(pj::OnCreateMediaTransportParam &given);
};

class SourceTrial {
public:
    SourceTrial(const std::string &mode, long window_ms, const std::string &signalling);
    void expect(const std::string &address, long now);
    void reopen(long now);
    bool rtcp(const std::string &address);
    long long foreign_packets() const;
    std::string judge(const std::string &address, bool media, long now);
};

} // namespace offhook
