// SPDX-License-Identifier: Apache-2.0
// The two ways in which protocol 0 writes strings on one line. Internal to the pickle reader.
#pragma once
#include <string>
#include <string_view>

namespace polyphony::torch_file {

// STRING: a Python literal with its quotes, such as 'a\x00b\n'. Throws DataError for anything else.
std::string unquote_python(std::string_view literal);

// UNICODE: Latin-1 with \uXXXX and \UXXXXXXXX, as UTF-8. Throws DataError for a broken escape.
std::string unescape_unicode(std::string_view line);

}  // namespace polyphony::torch_file
