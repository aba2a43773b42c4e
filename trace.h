/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The tracepoints chaos_alloc:alloc, free, fail, grow and shrink, after those of kmem.
 * See Documentation/inside.rst.
 *
 * The fast paths have none.  While somebody listens to alloc or free, all calls take
 * the slow paths: see watch.h.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM chaos_alloc

#if !defined(_CHAOS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _CHAOS_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>
#include <trace/events/mmflags.h>

#include "engine.h"
#include "watch.h"

/*
 * A heap's name is copied: the heap may be gone when the event is read.  Sizes are unsigned
 * long: as %zu, perf prints no more than 32 bits of them.
 */
TRACE_EVENT_FN(alloc,

	TP_PROTO(unsigned long call_site, const void *ptr, size_t bytes_req,
		 size_t bytes_alloc, gfp_t gfp_flags, const struct chaos_heap *heap),

	TP_ARGS(call_site, ptr, bytes_req, bytes_alloc, gfp_flags, heap),

	TP_STRUCT__entry(
		__field(unsigned long, call_site)
		__field(const void *, ptr)
		__field(unsigned long, bytes_req)
		__field(unsigned long, bytes_alloc)
		__field(unsigned long, gfp_flags)
		__array(char, heap, CHAOS_NAME_LEN)
	),

	TP_fast_assign(
		__entry->call_site	= call_site;
		__entry->ptr		= ptr;
		__entry->bytes_req	= bytes_req;
		__entry->bytes_alloc	= bytes_alloc;
		__entry->gfp_flags	= (__force unsigned long)gfp_flags;
		memcpy(__entry->heap, heap->name, CHAOS_NAME_LEN);
	),

	TP_printk("call_site=%pS ptr=%p bytes_req=%lu bytes_alloc=%lu gfp_flags=%s heap=%s",
		  (void *)__entry->call_site, __entry->ptr, __entry->bytes_req,
		  __entry->bytes_alloc, show_gfp_flags(__entry->gfp_flags),
		  __entry->heap),

	chaos_trace_begin, chaos_trace_end
);

TRACE_EVENT_FN(free,

	TP_PROTO(unsigned long call_site, const void *ptr, size_t bytes_alloc,
		 const struct chaos_heap *heap),

	TP_ARGS(call_site, ptr, bytes_alloc, heap),

	TP_STRUCT__entry(
		__field(unsigned long, call_site)
		__field(const void *, ptr)
		__field(unsigned long, bytes_alloc)
		__array(char, heap, CHAOS_NAME_LEN)
	),

	TP_fast_assign(
		__entry->call_site	= call_site;
		__entry->ptr		= ptr;
		__entry->bytes_alloc	= bytes_alloc;
		memcpy(__entry->heap, heap->name, CHAOS_NAME_LEN);
	),

	TP_printk("call_site=%pS ptr=%p bytes_alloc=%lu heap=%s",
		  (void *)__entry->call_site, __entry->ptr, __entry->bytes_alloc,
		  __entry->heap),

	chaos_trace_begin, chaos_trace_end
);

TRACE_EVENT(fail,

	TP_PROTO(unsigned long call_site, size_t bytes_req, size_t align, gfp_t gfp_flags,
		 const struct chaos_heap *heap),

	TP_ARGS(call_site, bytes_req, align, gfp_flags, heap),

	TP_STRUCT__entry(
		__field(unsigned long, call_site)
		__field(unsigned long, bytes_req)
		__field(unsigned long, align)
		__field(unsigned long, gfp_flags)
		__array(char, heap, CHAOS_NAME_LEN)
	),

	TP_fast_assign(
		__entry->call_site	= call_site;
		__entry->bytes_req	= bytes_req;
		__entry->align		= align;
		__entry->gfp_flags	= (__force unsigned long)gfp_flags;
		memcpy(__entry->heap, heap->name, CHAOS_NAME_LEN);
	),

	TP_printk("call_site=%pS bytes_req=%lu align=%lu gfp_flags=%s heap=%s",
		  (void *)__entry->call_site, __entry->bytes_req, __entry->align,
		  show_gfp_flags(__entry->gfp_flags), __entry->heap)
);

TRACE_DEFINE_ENUM(CHAOS_GROW_CREATE);
TRACE_DEFINE_ENUM(CHAOS_GROW_CLIENT);
TRACE_DEFINE_ENUM(CHAOS_GROW_REQUEST);
TRACE_DEFINE_ENUM(CHAOS_GROW_WORKER);

TRACE_EVENT(grow,

	TP_PROTO(const struct chaos_heap *heap, size_t bytes, int node, enum chaos_grow why),

	TP_ARGS(heap, bytes, node, why),

	TP_STRUCT__entry(
		__array(char, heap, CHAOS_NAME_LEN)
		__field(unsigned long, bytes)
		__field(unsigned long, pool_bytes)
		__field(int, node)
		__field(int, why)
	),

	TP_fast_assign(
		memcpy(__entry->heap, heap->name, CHAOS_NAME_LEN);
		__entry->bytes		= bytes;
		__entry->pool_bytes	= heap->pool_bytes;
		__entry->node		= node;
		__entry->why		= why;
	),

	TP_printk("heap=%s bytes=%lu pool_bytes=%lu node=%d why=%s", __entry->heap,
		  __entry->bytes, __entry->pool_bytes, __entry->node,
		  __print_symbolic(__entry->why,
				   { CHAOS_GROW_CREATE, "create" },
				   { CHAOS_GROW_CLIENT, "client" },
				   { CHAOS_GROW_REQUEST, "request" },
				   { CHAOS_GROW_WORKER, "worker" }))
);

TRACE_EVENT(shrink,

	TP_PROTO(const struct chaos_heap *heap, size_t bytes, int node),

	TP_ARGS(heap, bytes, node),

	TP_STRUCT__entry(
		__array(char, heap, CHAOS_NAME_LEN)
		__field(unsigned long, bytes)
		__field(unsigned long, pool_bytes)
		__field(int, node)
	),

	TP_fast_assign(
		memcpy(__entry->heap, heap->name, CHAOS_NAME_LEN);
		__entry->bytes		= bytes;
		__entry->pool_bytes	= heap->pool_bytes;
		__entry->node		= node;
	),

	TP_printk("heap=%s bytes=%lu pool_bytes=%lu node=%d", __entry->heap,
		  __entry->bytes, __entry->pool_bytes, __entry->node)
);

#endif /* _CHAOS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
