// Appended to pjproject's pjsua2.i: what Python sees of wide_line.hpp.

%{
#include "wide_line.hpp"
%}

namespace offhook {

class WideLine {
public:
    WideLine();
    bool splice(pj::OnStreamCreatedParam &given);
    void attach(FrameQueue *queue);
    void detach();
};

} // namespace offhook
