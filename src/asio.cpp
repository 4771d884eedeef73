// The compiled half of Boost.Asio: every other translation unit only sees its declarations.
#include <boost/asio/impl/src.hpp>
