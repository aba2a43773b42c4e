// SPDX-License-Identifier: GPL-2.0
/*
 * The module around the suite of chaos_kmalloc.h, which is a client of chaos_kmalloc.ko.
 * It has its own copy of what the suites share, see smp_module.c.
 */
#include <linux/module.h>

#include "common.c"

MODULE_DESCRIPTION("KUnit tests of chaos_kmalloc");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(CHAOS_KUNIT_NS);
