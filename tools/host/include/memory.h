/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory: kmalloc() and its kin are malloc(), vmalloc() is mmap() between pages that
 * cannot be accessed.  Each can be made to fail.
 */
#ifndef _HOST_MEMORY_H
#define _HOST_MEMORY_H

#include <linux/align.h>
#include <linux/bitmap.h>
#include <linux/context.h>
#include <linux/gfp_types.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/sizes.h>

/* Branches for constants that there are not are none. */
#ifdef HOST_COVERAGE
#undef ilog2
#define ilog2(n)		((int)__fls(n))
#endif

#define PAGE_SHIFT		12
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define PMD_SIZE		(2UL << 20)
#define PAGE_ALIGN(x)		ALIGN(x, PAGE_SIZE)
#define PAGE_OFFSET		PAGE_SIZE
#define L1_CACHE_BYTES		64

#define ZERO_SIZE_PTR		((void *)16)
#define ZERO_OR_NULL_PTR(x)						\
	((unsigned long)(x) <= (unsigned long)ZERO_SIZE_PTR)

/* Of memory that is not cleared, it is not known what it holds. */
void *host_kmalloc(size_t n, size_t size, gfp_t gfp);
void kvfree(const void *p);

#define kfree(p)			kvfree(p)
#define vfree(p)			kvfree(p)
#define kmalloc(size, gfp)		host_kmalloc(1, size, gfp)
#define kzalloc(size, gfp)		host_kmalloc(1, size, (gfp) | __GFP_ZERO)
#define kvmalloc(size, gfp)		host_kmalloc(1, size, gfp)
#define kvzalloc(size, gfp)		host_kmalloc(1, size, (gfp) | __GFP_ZERO)
#define kvzalloc_node(size, gfp, node)	kvzalloc(size, gfp)
#define kvmalloc_node(size, gfp, node)	kvmalloc(size, gfp)
#define kvcalloc(n, size, gfp)		host_kmalloc(n, size, (gfp) | __GFP_ZERO)
#define kmalloc_array(n, size, gfp)	host_kmalloc(n, size, gfp)
#define kmalloc_node(size, gfp, node)	host_kmalloc(1, size, gfp)
#define kmalloc_array_node(n, size, gfp, node)	host_kmalloc(n, size, gfp)

void *vmalloc_huge_node(unsigned long size, gfp_t gfp, int node);

/* Struct page is whatever says the node. */
struct page;

bool is_vmalloc_addr(const void *p);
struct page *vmalloc_to_page(const void *p);
int page_to_nid(const struct page *page);
unsigned long totalram_pages(void);

#define virt_addr_valid(p)	false
#define virt_to_page(p)		((struct page *)NULL)
#define page_to_pfn(page)	((unsigned long)(page))
#define pfn_valid(pfn)		((pfn) != 0)

static inline void memzero_explicit(void *p, size_t size)
{
	memset(p, 0, size);
	__asm__ __volatile__("" : : "r" (p) : "memory");
}

static inline void *memchr_inv(const void *p, int c, size_t size)
{
	const u8 *byte = p, *end = byte + size;

	while (byte < end && *byte == (u8)c)
		byte++;
	return byte < end ? (void *)byte : NULL;
}

static inline ssize_t strscpy(char *to, const char *from, size_t size)
{
	size_t n = strnlen(from, size - 1);

	memcpy(to, from, n);
	to[n] = '\0';
	return n;
}

#define kasan_mem_to_shadow(p)		((void *)(p))
#define kmemleak_free(p)		((void)(p))
#define kmemleak_alloc(p, size, n, gfp)	((void)(p))

unsigned long get_random_long(void);
#define get_random_u64()		((u64)get_random_long())

#endif /* _HOST_MEMORY_H */
