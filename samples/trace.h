/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The packed trace of tools/pack-trace: a header, then one little-endian word an
 * event, in trace order.  Blocks are numbered by their allocations, from 0.  The
 * value of an allocation is its size; that of a free says how many allocations
 * back the block's own is (1: the latest).
 */
#ifndef _CHAOS_TRACE_H
#define _CHAOS_TRACE_H

#include <linux/bits.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/vmalloc.h>

#include <asm/byteorder.h>

#define TRACE_MAGIC	"chaostrc"
#define TRACE_VERSION	1

struct trace_header {
	char magic[8];
	__le32 version;
	__le32 events;
	__le32 allocs;
	__le32 reserved;
};

#define TRACE_FREE	BIT(31)
#define TRACE_CTX	GENMASK(30, 29)
#define TRACE_CPU	GENMASK(28, 24)
#define TRACE_VALUE	GENMASK(23, 0)

#define TRACE_CPUS	32

enum trace_ctx {
	CTX_TASK,
	CTX_SOFTIRQ,
	CTX_HARDIRQ,
	CTX_NMI,	/* valid in a trace, but not replayed */
};

/* Returns the whole file, to be given to vfree(), or an error pointer. */
static inline void *trace_read(const char *path, size_t *size)
{
	loff_t pos = 0;
	struct file *file;
	ssize_t len;
	void *buf;

	file = filp_open(path, O_RDONLY | O_LARGEFILE, 0);
	if (IS_ERR(file))
		return ERR_CAST(file);
	*size = clamp_t(loff_t, i_size_read(file_inode(file)), 1, INT_MAX);
	buf = vmalloc(*size);
	if (!buf) {
		buf = ERR_PTR(-ENOMEM);
		goto out;
	}
	for (len = 1; pos < *size && len > 0; )
		len = kernel_read(file, buf + pos, *size - pos, &pos);
	if (len <= 0) {
		vfree(buf);
		buf = ERR_PTR(len ?: -EIO);
	}
out:
	filp_close(file, NULL);
	return buf;
}

static inline bool trace_header_valid(const struct trace_header *hdr, size_t size)
{
	u32 events;

	if (size < sizeof(*hdr) ||
	    memcmp(hdr->magic, TRACE_MAGIC, sizeof(hdr->magic)) ||
	    le32_to_cpu(hdr->version) != TRACE_VERSION)
		return false;
	events = le32_to_cpu(hdr->events);
	return (size - sizeof(*hdr)) % sizeof(__le32) == 0 &&
	       (size - sizeof(*hdr)) / sizeof(__le32) == events && events &&
	       le32_to_cpu(hdr->allocs) && le32_to_cpu(hdr->allocs) <= events;
}

#endif /* _CHAOS_TRACE_H */
