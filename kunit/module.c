// SPDX-License-Identifier: GPL-2.0
/*
 * The module around the KUnit suites.  The suites are in *_kunit.c, one file a
 * theme; what they share is in common.c.
 */
#include <linux/module.h>

#include "compat.h"

MODULE_DESCRIPTION("KUnit tests of chaos_alloc");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(CHAOS_KUNIT_NS);
