/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's view of the compiler, types and words of memory, for user space.
 *
 * READ_ONCE() and WRITE_ONCE() are relaxed atomics, so that ThreadSanitizer sees them
 * for what they are.  It knows nothing of address dependencies: a pointer that is read
 * so is acquired instead.
 */
#ifndef _HOST_COMPILER_H
#define _HOST_COMPILER_H

/* All of libc's that anybody needs, before its attributes get other names. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#undef __always_inline
#undef __attribute_const__
#include <linux/compiler_attributes.h>

#ifndef ENOTSUPP
#define ENOTSUPP		524
#endif

/* --------------------------------- the compiler --------------------------- */

#undef __always_inline
/* For the coverage of branches, there shall be one copy of each. */
#ifdef HOST_COVERAGE
#define __always_inline		inline
#else
#define __always_inline		inline __attribute__((always_inline))
#endif
#define __alloc_size(...)
#define __realloc_size(...)
#define __cold			__attribute__((cold))
#define __percpu
#define __user
#define __iomem
#define __rcu
#define __force
#define __nocast
#define __kprobes
#define __init
#define __exit
#define __ro_after_init
#define __read_mostly
#define __must_hold(x)
#define __acquires(x)
#define __releases(x)
#define __acquire(x)		((void)0)
#define __release(x)		((void)0)
#define __counted_by(x)
#define __no_kmsan_checks
#define __same_type(a, b)	__builtin_types_compatible_p(typeof(a), typeof(b))
#define __must_be_array(a)	0
#define __is_constexpr(x)						\
	(sizeof(int) == sizeof(*(8 ? ((void *)((long)(x) * 0L)) : (int *)8)))
#define __PASTE_(a, b)		a##b
#define __PASTE(a, b)		__PASTE_(a, b)
#define __UNIQUE_ID(prefix)	__PASTE(__PASTE(__unique_, prefix), __COUNTER__)
#define __stringify_(x...)	#x
#define __stringify(x...)	__stringify_(x)
#define EXPORT_SYMBOL_GPL(symbol)
#define EXPORT_SYMBOL(symbol)
#define KBUILD_MODNAME		"chaos_alloc"
#define compiletime_assert(c, msg)	((void)0)
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define _RET_IP_		((unsigned long)__builtin_return_address(0))
#define _THIS_IP_		({ __label__ __here; __here: (unsigned long)&&__here; })
#define OPTIMIZER_HIDE_VAR(var)	__asm__("" : "=r" (var) : "0" (var))

#ifdef HOST_COVERAGE
#define likely(x)		(x)
#define unlikely(x)		(x)
#else
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#endif

/* __unqual_scalar_typeof() of the kernel: the type without volatile and const. */
#define __unqual_scalar_typeof(x)	typeof(({ __auto_type __v = (x); __v; }))

#define IS_ENABLED(option)	__host_enabled(option)
#define IS_BUILTIN(option)	__host_enabled(option)
#define __host_enabled(option)	__host_is_one(__host_arg_##option)
#define __host_arg_1		0,
#define __host_is_one(x)	__host_second(x 1, 0)
#define __host_second(a, b, ...)	b

/* ---------------------------------- types --------------------------------- */

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef long long s64;
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s8 __s8;
typedef s16 __s16;
typedef s32 __s32;
typedef s64 __s64;
typedef u32 __le32;
typedef u64 __le64;
typedef u32 __be32;
typedef u64 __be64;
typedef unsigned int gfp_t;

/* The machine is little endian. */
#define le32_to_cpu(x)		(x)
#define le64_to_cpu(x)		(x)
#define le16_to_cpup(p)		(*(const u16 *)(p))
#define le32_to_cpup(p)		(*(const u32 *)(p))
#define le64_to_cpup(p)		(*(const u64 *)(p))
#define get_unaligned_le16(p)	le16_to_cpup(p)
#define get_unaligned_le32(p)	le32_to_cpup(p)
#define get_unaligned_le64(p)	le64_to_cpup(p)

#define swab(x)			__builtin_bswap64(x)

static __always_inline u64 rol64(u64 word, unsigned int shift)
{
	return (word << (shift & 63)) | (word >> ((-shift) & 63));
}

static __always_inline u32 rol32(u32 word, unsigned int shift)
{
	return (word << (shift & 31)) | (word >> ((-shift) & 31));
}

struct list_head {
	struct list_head *next, *prev;
};

struct hlist_node {
	struct hlist_node *next, **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

struct rcu_head {
	void (*func)(struct rcu_head *head);
};

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

typedef struct {
	long counter;
} atomic_long_t;

#define BITS_PER_LONG		64
#define BITS_PER_LONG_LONG	64
#define __BITS_PER_LONG		64
#define small_const_nbits(n)						\
	(__builtin_constant_p(n) && (n) <= BITS_PER_LONG && (n) > 0)
#define BITS_TO_LONGS(n)	(((n) + BITS_PER_LONG - 1) / BITS_PER_LONG)
#define DECLARE_BITMAP(name, bits)	unsigned long name[BITS_TO_LONGS(bits)]

#define U8_MAX			((u8)~0U)
#define U16_MAX			((u16)~0U)
#define U32_MAX			((u32)~0U)
#define S32_MAX			((s32)(U32_MAX >> 1))
#define U64_MAX			((u64)~0ULL)
#define S64_MAX			((s64)(U64_MAX >> 1))
#ifndef SIZE_MAX
#define SIZE_MAX		(~(size_t)0)
#endif
#define PHYS_ADDR_MAX		(~0UL)

/* --------------------------- places of interruption ----------------------- */

/*
 * Wherever the code under test does something that others can see, or says that the
 * order of things matters, it may be interrupted; see shim.h.
 */
extern __thread unsigned long host_countdown;
void host_interrupt(void);

/* The harness itself is not interrupted. */
static __always_inline void host_point(void)
{
#ifndef HOST_UNINTERRUPTED
	if (unlikely(!--host_countdown))
		host_interrupt();
#endif
}

/* ----------------------------- words of memory ---------------------------- */

#define __host_is_pointer(x)						\
	(__builtin_classify_type(x) == __builtin_classify_type((void *)0))

#define __host_load_order(x)						\
	__builtin_choose_expr(__host_is_pointer(x), __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)

#define READ_ONCE(x)							\
({									\
	host_point();							\
	__atomic_load_n(&(x), __host_load_order(x));			\
})

#define WRITE_ONCE(x, v)						\
do {									\
	typeof(x) __new = (v);						\
									\
	host_point();							\
	__atomic_store_n(&(x), __new, __ATOMIC_RELAXED);		\
} while (0)

#define ASSERT_EXCLUSIVE_ACCESS(x)	((void)0)

#define data_race(expr)							\
({									\
	__auto_type __v = ({						\
		host_ignore_races(true);				\
		__auto_type __w = (expr);				\
		host_ignore_races(false);				\
		__w;							\
	});								\
	__v;								\
})

#if defined(__SANITIZE_THREAD__)
#define HOST_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOST_TSAN
#endif
#endif

#ifdef HOST_TSAN
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);

static __always_inline void host_ignore_races(bool begin)
{
	if (begin)
		AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	else
		AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
static __always_inline void host_ignore_races(bool begin) { }
#endif

#define barrier()							\
do {									\
	__asm__ __volatile__("" : : : "memory");			\
	host_point();							\
} while (0)

#endif /* _HOST_COMPILER_H */
