// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints' code and data, which trace.h describes.
 */
#include <linux/string.h>

#define CREATE_TRACE_POINTS
#include "trace.h"

#if IS_ENABLED(CONFIG_KUNIT)
EXPORT_TRACEPOINT_SYMBOL_GPL(alloc);
EXPORT_TRACEPOINT_SYMBOL_GPL(free);
EXPORT_TRACEPOINT_SYMBOL_GPL(fail);
EXPORT_TRACEPOINT_SYMBOL_GPL(grow);
EXPORT_TRACEPOINT_SYMBOL_GPL(shrink);
#endif
