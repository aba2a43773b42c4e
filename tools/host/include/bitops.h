/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bits of words.
 */
#ifndef _HOST_BITOPS_H
#define _HOST_BITOPS_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/math.h>

#define __ffs(x)		((unsigned long)__builtin_ctzl(x))
#define __ffs64(x)		((unsigned long)__builtin_ctzll(x))
#define __fls(x)		((unsigned long)(BITS_PER_LONG - 1 - __builtin_clzl(x)))
#define ffz(x)			__ffs(~(x))
#define hweight32(x)		((unsigned int)__builtin_popcount(x))
#define hweight64(x)		((unsigned long)__builtin_popcountl(x))
#define hweight_long(x)		((unsigned long)__builtin_popcountl(x))

/* The @n-th bit that is set. */
static inline unsigned long fns(unsigned long word, unsigned int n)
{
	while (word && n--)
		word &= word - 1;
	return word ? __ffs(word) : BITS_PER_LONG;
}

static __always_inline int fls(unsigned int x)
{
	return x ? 32 - __builtin_clz(x) : 0;
}

static __always_inline int fls64(u64 x)
{
	return x ? 64 - __builtin_clzll(x) : 0;
}

static __always_inline unsigned int fls_long(unsigned long x)
{
	return fls64(x);
}

static __always_inline unsigned long *__host_word(unsigned long nr,
						  volatile const unsigned long *p)
{
	return (unsigned long *)p + BIT_WORD(nr);
}

static __always_inline bool test_bit(unsigned long nr, const volatile unsigned long *p)
{
	host_point();
	return __atomic_load_n(__host_word(nr, p), __ATOMIC_RELAXED) & BIT_MASK(nr);
}

static __always_inline void set_bit(unsigned long nr, volatile unsigned long *p)
{
	host_point();
	__atomic_fetch_or(__host_word(nr, p), BIT_MASK(nr), __ATOMIC_RELAXED);
}

static __always_inline void clear_bit(unsigned long nr, volatile unsigned long *p)
{
	host_point();
	__atomic_fetch_and(__host_word(nr, p), ~BIT_MASK(nr), __ATOMIC_RELAXED);
}

static __always_inline bool test_and_clear_bit(unsigned long nr,
					       volatile unsigned long *p)
{
	host_point();
	return __atomic_fetch_and(__host_word(nr, p), ~BIT_MASK(nr), HOST_FULL) &
	       BIT_MASK(nr);
}

static __always_inline void __set_bit(unsigned long nr, volatile unsigned long *p)
{
	*__host_word(nr, p) |= BIT_MASK(nr);
}

static __always_inline void __clear_bit(unsigned long nr, volatile unsigned long *p)
{
	*__host_word(nr, p) &= ~BIT_MASK(nr);
}

static __always_inline bool __test_and_set_bit(unsigned long nr,
					       volatile unsigned long *p)
{
	unsigned long old = *__host_word(nr, p);

	*__host_word(nr, p) = old | BIT_MASK(nr);
	return old & BIT_MASK(nr);
}

#define __assign_bit(nr, p, v)	((v) ? __set_bit(nr, p) : __clear_bit(nr, p))
#define assign_bit(nr, p, v)	((v) ? set_bit(nr, p) : clear_bit(nr, p))

#endif /* _HOST_BITOPS_H */
