// SPDX-License-Identifier: GPL-2.0
/*
 * The module around the suites that want several CPUs; rootfs/smp.sh loads it
 * in a guest that has them.  An object can be part of one module only, so this
 * one has its own copy of what the suites share.
 */
#include <linux/module.h>

#include "common.c"

MODULE_DESCRIPTION("KUnit tests of chaos_alloc on several CPUs");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(CHAOS_KUNIT_NS);
