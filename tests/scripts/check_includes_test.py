#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/check_includes.py finds each kind of fault and lets right files be."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts"))
import check_includes  # noqa: E402

LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"

# path, text after the licence line, a part of the fault (None: there must be none)
CASES = [
    ("core/base/a.cpp", "#include <torch/torch.h>\n", "core/base/a.cpp:2: core/base/ must not include <torch/torch.h>"),
    ("core/base/b.cpp", '#include "core/tensor_io.h"\n', "must not include core/tensor_io.h"),
    ("core/base/c.cpp", '#include "core/error.h"\n#include <vector>\n', None),
    ("core/formats/a.cpp", '#include "ATen/ATen.h"\n', "must not include <ATen/ATen.h>"),
    ("core/nn/a.cpp", '#include "moe/routing.h"\n', "core/ must not include moe/routing.h"),
    ("core/nn/b.cpp", "#include <ATen/ATen.h>\n#include <cuda_runtime.h>\n", None),
    ("moe/a.cu", '#include "modalities/image/decode.h"\n', "moe/ must not include modalities/"),
    ("moe/b.cpp", "#include <opencv2/core.hpp>\n", "must not include <opencv2/core.hpp>"),
    ("modalities/image/a.cpp", '#include "moe/routing.h"\n', "must not include moe/routing.h"),
    ("modalities/image/b.cpp", '#include "modalities/text/tokenizer.h"\n', "must not include modalities/text"),
    ("modalities/image/c.cpp", "#include <opencv2/core.hpp>\n", None),
    ("modalities/audio/a.cpp", "#include <opencv2/core.hpp>\n", "must not include <opencv2"),
    ("pipelines/session.h", "#include <ATen/core/Tensor.h>\n", "must not include <ATen/core/Tensor.h>"),
    ("pipelines/a.cpp", '#include "gui/main_window.h"\n', "must not include gui/"),
    ("pipelines/b.cpp", "#include <QWidget>\n", "must not include <QWidget>"),
    ("gui/a.cpp", '#include "pipelines/caption/model.h"\n', "must not include pipelines/caption"),
    ("gui/b.cpp", '#include "pipelines/session.h"\n#include "core/error.h"\n#include <QtWidgets/QLabel>\n', None),
    ("gui/c.cpp", '  #  include  "torch/torch.h"\n', "must not include <torch/torch.h>"),
    ("apps/polyphony/a.cpp", "#include <ATen/ATen.h>\n", "must not include <ATen/ATen.h>"),
    ("apps/polyphony/b.cpp", '#include "moe/router.h"\n', "must not include moe/router.h"),
    ("tests/core/base/a_test.cpp", '#include "moe/routing.h"\n', "core/base/ must not include moe/"),
    ("tests/moe/a_test.cpp", '#include "tests/support/x.h"\n#include "core/check.h"\n', None),
    ("tests/support/x.h", '#include "moe/routing.h"\n', None),
    ("core/long.cpp", "\n" * 400, "expected at most 400 lines, got 401"),
    ("core/just_right.cpp", "\n" * 399, None),
]


class CheckIncludes(unittest.TestCase):
    def faults(self, path, text):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, path)
            file.parent.mkdir(parents=True)
            file.write_text(text)
            return list(check_includes.faults(pathlib.Path(folder)))

    def test_each_case_is_judged_rightly(self):
        for path, text, expected in CASES:
            with self.subTest(path=path):
                found = self.faults(path, LICENCE + text)
                if expected is None:
                    self.assertEqual(found, [])
                else:
                    self.assertEqual(len(found), 1, found)
                    self.assertIn(expected, found[0])

    def test_a_missing_licence_line_is_found(self):
        for path in ("core/a.h", "scripts/a.py", "cmake/a.cmake", "tests/CMakeLists.txt"):
            self.assertIn("SPDX", self.faults(path, "# nothing\n")[0])
        self.assertEqual(self.faults("scripts/a.sh", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"), [])


if __name__ == "__main__":
    unittest.main()
