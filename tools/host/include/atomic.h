/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's atomics in terms of the compiler's: those without a suffix that return
 * something are fully ordered, those that do not are relaxed.  A cmpxchg that fails
 * orders nothing.
 */
#ifndef _HOST_ATOMIC_H
#define _HOST_ATOMIC_H

#include <linux/compiler.h>

/*
 * For the self-test of the ThreadSanitizer build: what the module calls release is
 * relaxed.
 */
#ifdef HOST_WEAK_RELEASE
#define HOST_RELEASE		__ATOMIC_RELAXED
#define HOST_FULL		__ATOMIC_ACQUIRE
#else
#define HOST_RELEASE		__ATOMIC_RELEASE
#define HOST_FULL		__ATOMIC_SEQ_CST
#endif

#define smp_mb()							\
do {									\
	host_point();							\
	__atomic_thread_fence(__ATOMIC_SEQ_CST);			\
} while (0)
#define smp_rmb()							\
do {									\
	host_point();							\
	__atomic_thread_fence(__ATOMIC_ACQUIRE);			\
} while (0)
#define smp_wmb()							\
do {									\
	host_point();							\
	__atomic_thread_fence(__ATOMIC_RELEASE);			\
} while (0)
#define smp_mb__before_atomic()	smp_mb()
#define smp_mb__after_atomic()	smp_mb()

#define smp_load_acquire(p)						\
({									\
	host_point();							\
	__atomic_load_n(p, __ATOMIC_ACQUIRE);				\
})

#define smp_store_release(p, v)						\
do {									\
	typeof(*(p)) __new = (v);					\
									\
	host_point();							\
	__atomic_store_n(p, __new, HOST_RELEASE);			\
} while (0)

#define smp_store_mb(x, v)						\
do {									\
	WRITE_ONCE(x, v);						\
	smp_mb();							\
} while (0)

/* ------------------------------ on plain words ---------------------------- */

#define __host_xchg(p, v, order)					\
({									\
	typeof(*(p)) __new = (typeof(*(p)))(v);				\
									\
	host_point();							\
	__atomic_exchange_n(p, __new, order);				\
})

#define __host_try_cmpxchg(p, pold, new, order)				\
({									\
	typeof(*(p)) __new = (typeof(*(p)))(new);			\
									\
	host_point();							\
	__atomic_compare_exchange_n(p, (typeof(*(p)) *)(pold), __new,	\
				    false, order, __ATOMIC_RELAXED);	\
})

#define xchg(p, v)			__host_xchg(p, v, HOST_FULL)
#define xchg_release(p, v)		__host_xchg(p, v, HOST_RELEASE)
#define try_cmpxchg(p, pold, new)	__host_try_cmpxchg(p, pold, new, HOST_FULL)
#define try_cmpxchg_acquire(p, pold, new)				\
	__host_try_cmpxchg(p, pold, new, __ATOMIC_ACQUIRE)
#define try_cmpxchg_release(p, pold, new)				\
	__host_try_cmpxchg(p, pold, new, HOST_RELEASE)
#define cmpxchg(p, old, new)						\
({									\
	typeof(*(p)) __old = (old);					\
									\
	__host_try_cmpxchg(p, &__old, new, HOST_FULL);			\
	__old;								\
})

/* ------------------- atomic_t, atomic64_t, atomic_long_t ------------------ */

#define __host_rmw(op, v, arg, order)					\
({									\
	host_point();							\
	__atomic_##op(&(v)->counter, arg, order);			\
})

#define HOST_ATOMIC(prefix, type, base)					\
static __always_inline base prefix##_read(const type *v)		\
{									\
	host_point();							\
	return __atomic_load_n(&v->counter, __ATOMIC_RELAXED);		\
}									\
static __always_inline base prefix##_read_acquire(const type *v)	\
{									\
	host_point();							\
	return __atomic_load_n(&v->counter, __ATOMIC_ACQUIRE);		\
}									\
static __always_inline void prefix##_set(type *v, base i)		\
{									\
	host_point();							\
	__atomic_store_n(&v->counter, i, __ATOMIC_RELAXED);		\
}									\
static __always_inline void prefix##_set_release(type *v, base i)	\
{									\
	host_point();							\
	__atomic_store_n(&v->counter, i, HOST_RELEASE);			\
}									\
static __always_inline void prefix##_add(base i, type *v)		\
{									\
	__host_rmw(fetch_add, v, i, __ATOMIC_RELAXED);			\
}									\
static __always_inline void prefix##_sub(base i, type *v)		\
{									\
	__host_rmw(fetch_sub, v, i, __ATOMIC_RELAXED);			\
}									\
static __always_inline void prefix##_inc(type *v)			\
{									\
	__host_rmw(fetch_add, v, 1, __ATOMIC_RELAXED);			\
}									\
static __always_inline void prefix##_dec(type *v)			\
{									\
	__host_rmw(fetch_sub, v, 1, __ATOMIC_RELAXED);			\
}									\
static __always_inline base prefix##_add_return(base i, type *v)	\
{									\
	return __host_rmw(add_fetch, v, i, HOST_FULL);			\
}									\
static __always_inline base prefix##_inc_return(type *v)		\
{									\
	return __host_rmw(add_fetch, v, 1, HOST_FULL);			\
}									\
static __always_inline base						\
prefix##_fetch_andnot_release(base i, type *v)				\
{									\
	return __host_rmw(fetch_and, v, ~i, HOST_RELEASE);		\
}									\
static __always_inline base prefix##_xchg_acquire(type *v, base i)	\
{									\
	return __host_rmw(exchange_n, v, i, __ATOMIC_ACQUIRE);		\
}									\
static __always_inline bool						\
prefix##_try_cmpxchg(type *v, base *old, base new)			\
{									\
	return __host_try_cmpxchg(&v->counter, old, new, HOST_FULL);	\
}									\
static __always_inline bool						\
prefix##_try_cmpxchg_acquire(type *v, base *old, base new)		\
{									\
	return __host_try_cmpxchg(&v->counter, old, new,		\
				  __ATOMIC_ACQUIRE);			\
}									\
static __always_inline bool						\
prefix##_try_cmpxchg_release(type *v, base *old, base new)		\
{									\
	return __host_try_cmpxchg(&v->counter, old, new, HOST_RELEASE);	\
}									\
static __always_inline base						\
prefix##_cmpxchg_acquire(type *v, base old, base new)			\
{									\
	prefix##_try_cmpxchg_acquire(v, &old, new);			\
	return old;							\
}

HOST_ATOMIC(atomic, atomic_t, int)
HOST_ATOMIC(atomic64, atomic64_t, s64)
HOST_ATOMIC(atomic_long, atomic_long_t, long)

#endif /* _HOST_ATOMIC_H */
