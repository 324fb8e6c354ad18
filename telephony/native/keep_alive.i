// Appended to pjproject's pjsua2.i: what Python sees of keep_alive.hpp.

%{
#include "keep_alive.hpp"
%}

namespace offhook {

class Connection {
public:
    explicit Connection(pj::SipRxData &came);
    ~Connection();
    bool there() const;
    bool same(const offhook::Connection &other) const;
    bool ping();
    double silent_s() const;
    long pongs() const;
    void end();
    void release();
};

} // namespace offhook
