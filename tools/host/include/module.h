/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What makes a module of C files, and what it says.
 */
#ifndef _HOST_MODULE_H
#define _HOST_MODULE_H

#include <linux/atomic.h>
#include <linux/container_of.h>
#include <linux/err.h>
#include <linux/memory.h>

#define KERNEL_VERSION(a, b, c)	(((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE	KERNEL_VERSION(6, 16, 0)

#define VISIBLE_IF_KUNIT	static
#define EXPORT_SYMBOL_IF_KUNIT(symbol)
#define MODULE_DESCRIPTION(text)
#define MODULE_LICENSE(text)
#define MODULE_VERSION(text)
#define MODULE_PARM_DESC(name, text)
#define THIS_MODULE		NULL

#define postcore_initcall(fn)	int host_module_init(void) { return fn(); }
#define module_exit(fn)		void host_module_exit(void) { fn(); }

/* --------------------------------- messages ------------------------------- */

struct va_format {
	const char *fmt;
	va_list *va;
};

__printf(1, 2)
void host_print(const char *fmt, ...);

#ifndef pr_fmt
#define pr_fmt(fmt)		fmt
#endif
#define pr_err(fmt, ...)	host_print(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_warn(fmt, ...)	host_print(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_info(fmt, ...)	host_print(pr_fmt(fmt), ##__VA_ARGS__)
#define pr_warn_once(fmt, ...)	pr_warn(fmt, ##__VA_ARGS__)
#define pr_warn_ratelimited(fmt, ...)	pr_warn(fmt, ##__VA_ARGS__)

#define DEFAULT_RATELIMIT_INTERVAL	0
#define DEFAULT_RATELIMIT_BURST		0
#define DEFINE_RATELIMIT_STATE(name, interval, burst)	int name
#define __ratelimit(rs)		((void)(rs), true)

void host_warn(const char *file, int line, const char *what);

static inline bool host_warn_on(bool c, const char *file, int line, const char *what)
{
	if (c)
		host_warn(file, line, what);
	return c;
}

#define WARN_ON(c)		host_warn_on(c, __FILE__, __LINE__, #c)
#define WARN_ON_ONCE(c)		WARN_ON(c)
#define BUG_ON(c)		((void)WARN_ON(c))
#define panic(fmt, ...)		host_print(fmt, ##__VA_ARGS__)

/* ---------------------------------- reports ------------------------------- */

/* What code is called, nobody knows. */
#define KSYM_SYMBOL_LEN		32
#define sprint_symbol(buffer, address)					\
	snprintf(buffer, KSYM_SYMBOL_LEN, "code at %lx", (unsigned long)(address))

#define sort(base, n, size, cmp, swap)	qsort(base, n, size, cmp)

/* There are no files, either. */
struct seq_file;

#define seq_printf(m, fmt, ...)	((void)(m), (void)sizeof(host_print(fmt, ##__VA_ARGS__), 0))

/* ------------------------------- static branches -------------------------- */

struct static_key {
	int enabled;
};

struct static_key_true {
	struct static_key key;
};

struct static_key_false {
	struct static_key key;
};

#define DEFINE_STATIC_KEY_TRUE(name)	struct static_key_true name = { { 1 } }
#define DEFINE_STATIC_KEY_FALSE(name)	struct static_key_false name
#define DECLARE_STATIC_KEY_TRUE(name)	extern struct static_key_true name
#define DECLARE_STATIC_KEY_FALSE(name)	extern struct static_key_false name

#define __host_key(k)		__atomic_load_n(&(k)->key.enabled, __ATOMIC_RELAXED)
#define static_branch_likely(k)		likely(__host_key(k))
#define static_branch_unlikely(k)	unlikely(__host_key(k))
#define static_branch_enable(k)		((k)->key.enabled = 1)
#define static_branch_disable(k)	((k)->key.enabled = 0)
#define static_branch_inc(k)						\
	__atomic_fetch_add(&(k)->key.enabled, 1, __ATOMIC_RELAXED)
#define static_branch_dec(k)						\
	__atomic_fetch_sub(&(k)->key.enabled, 1, __ATOMIC_RELAXED)

/* -------------------------------- parameters ------------------------------ */

struct kernel_param_ops;

struct kernel_param {
	const char *name;
	const struct kernel_param_ops *ops;
	void *arg;
	struct kernel_param *next;
};

struct kernel_param_ops {
	int (*set)(const char *val, const struct kernel_param *kp);
	int (*get)(char *buffer, const struct kernel_param *kp);
};

extern const struct kernel_param_ops param_ops_charp;
int param_get_uint(char *buffer, const struct kernel_param *kp);
void host_add_param(struct kernel_param *kp);

#define kernel_param_lock(mod)		((void)0)
#define kernel_param_unlock(mod)	((void)0)

#define module_param_cb(_name, _ops, _arg, perm)			\
static __attribute__((constructor)) void host_register_##_name(void)	\
{									\
	static struct kernel_param kp = {				\
		.name = #_name, .ops = (_ops),				\
	};								\
									\
	kp.arg = (_arg);						\
	host_add_param(&kp);						\
}
#define module_param(name, type, perm)					\
	module_param_cb(name, &param_ops_##type, &(name), perm)

int kstrtoul(const char *s, unsigned int base, unsigned long *res);
int kstrtouint(const char *s, unsigned int base, unsigned int *res);
unsigned long long memparse(const char *s, char **end);
#define sysfs_emit(buffer, ...)		snprintf(buffer, 4096, __VA_ARGS__)

/* Nobody listens to tracepoints. */
#define TP_PROTO(...)			__VA_ARGS__
#define TRACE_EVENT(name, proto, ...)					\
static inline void trace_##name(proto) {}				\
static inline bool trace_##name##_enabled(void) { return false; }
#define TRACE_EVENT_FN			TRACE_EVENT
#define TRACE_DEFINE_ENUM(value)	static_assert((value) >= 0)

/* What goes with a device; there is none. */
struct device;

#define devm_add_action_or_reset(dev, fn, data)	(-ENODEV)

#endif /* _HOST_MODULE_H */
