# SPDX-License-Identifier: Apache-2.0
# Install and export, so that find_package(Polyphony) works from another project.
