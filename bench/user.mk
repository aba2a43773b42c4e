# SPDX-License-Identifier: GPL-2.0
#
# user_mimalloc, a program for this machine; tools/uml.sh calls this.

OUT ?= .

$(OUT)/user_mimalloc: user_mimalloc.c loops.h
	$(CC) -O2 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
		-o $@ $< -lmimalloc
