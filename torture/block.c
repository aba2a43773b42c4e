// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks that know what they contain.
 *
 * The checksum covers the address: a header that was copied to another block is not
 * taken for that block's own.  Each word of the pattern depends on its place: bytes
 * that were moved within a block are found as well.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/hash.h>
#include <linux/jhash.h>
#include <linux/log2.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/smp.h>
#include <linux/string.h>

#include "torture.h"

#define TORTURE_STEP	0x9e3779b97f4a7c15ULL	/* 2^64 / the golden ratio */
#define TORTURE_LARGEST	SZ_64M

static const char * const ctx_names[] = { "task", "softirq", "hardirq", "nmi" };

static enum torture_ctx here(void)
{
	if (in_nmi())
		return TORTURE_NMI;
	if (in_hardirq())
		return TORTURE_HARDIRQ;
	return in_serving_softirq() ? TORTURE_SOFTIRQ : TORTURE_TASK;
}

static u32 checksum(const struct torture_block *b, unsigned long addr)
{
	return jhash_3words(b->size, b->seed,
			    (u32)b->cpu << 16 | b->ctx << 8 | b->align,
			    hash_long(addr, 32));
}

/* The word at byte @at, which is a multiple of 8. */
static u64 pattern(u32 seed, size_t at)
{
	return (seed + at + 1) * TORTURE_STEP;
}

struct torture_block *torture_block_make(void *p, size_t size, u8 align, u32 seed)
{
	struct torture_block *b = p;
	size_t at;
	u64 word;

	*b = (struct torture_block){
		.size	= size,
		.seed	= seed,
		.cpu	= raw_smp_processor_id(),
		.ctx	= here(),
		.align	= align,
	};
	b->sum = checksum(b, (unsigned long)p);
	for (at = sizeof(*b); at + sizeof(word) <= size; at += sizeof(word))
		*(u64 *)(p + at) = pattern(seed, at);
	word = pattern(seed, at);
	memcpy(p + at, &word, size - at);
	return b;
}

/* The first byte of the pattern that is not what it was, or @kept. */
static size_t first_wrong(const void *p, u32 seed, size_t kept)
{
	size_t at, i;
	u64 word;

	for (at = sizeof(struct torture_block); at + sizeof(word) <= kept;
	     at += sizeof(word)) {
		if (*(const u64 *)(p + at) != pattern(seed, at))
			break;
	}
	if (at >= kept)
		return kept;
	word = pattern(seed, at);
	for (i = 0; i < min(sizeof(word), kept - at); i++) {
		if (((const u8 *)p)[at + i] != ((u8 *)&word)[i])
			return at + i;
	}
	return kept;
}

static void report(const struct torture_block *b, const char *what, size_t at)
{
	const void *p = b;

	torture_fail("block %p of %u bytes, from CPU %u, %s: %s at byte %zu (seen on CPU %u, %s)",
		     b, b->size, b->cpu,
		     b->ctx < TORTURE_CTXS ? ctx_names[b->ctx] : "nowhere", what, at,
		     raw_smp_processor_id(), ctx_names[here()]);
	pr_err("  its header: %16phN; there: %16phN\n", p, p + round_down(at, 16));
}

bool torture_block_kept(const struct torture_block *b, unsigned long addr,
			size_t kept)
{
	size_t wrong;

	/* Not astray by a size that somebody has overwritten */
	if (b->sum != checksum(b, addr) || b->size < kept || kept > TORTURE_LARGEST) {
		report(b, b->sum == ~checksum(b, addr) ? "freed before" : "wrong header", 0);
		return false;
	}
	wrong = first_wrong(b, b->seed, kept);
	if (wrong < kept)
		report(b, "wrong contents", wrong);
	return wrong == kept;
}

bool torture_block_intact(const struct torture_block *b)
{
	unsigned long addr = (unsigned long)b;

	if (!torture_block_kept(b, addr, READ_ONCE(b->size)))
		return false;
	if (!IS_ALIGNED(addr, 1UL << b->align)) {
		report(b, "wrong alignment", 0);
		return false;
	}
	return true;
}

void torture_block_kill(struct torture_block *b)
{
	b->sum = ~b->sum;
}
