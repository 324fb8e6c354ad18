// Appended to pjproject's pjsua2.i: what Python sees of requests.hpp.

%{
#include "requests.hpp"
%}

%feature("director") offhook::RequestDoor;

namespace offhook {

class Request {
public:
    std::string method;
    std::string message;
    std::string source;
    bool tagged;
    bool in_dialog;
    bool subscribed;
    bool datagram;
    void add_header(const std::string &name, const std::string &value);
};

class RequestDoor {
public:
    RequestDoor();
    virtual ~RequestDoor();
    virtual int onRequest(offhook::Request &request);
    bool open();
    void close();
};

} // namespace offhook
