/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A sequence of operations on heaps of one engine, against a model that knows every
 * live byte.
 */
#ifndef _HOST_MODEL_H
#define _HOST_MODEL_H

#include <linux/compiler.h>

/**
 * struct model_script - where decisions come from
 * @engine: "mimalloc", "tlsf" or "evl"
 * @data: bytes to decide by, or NULL to decide at random
 * @size: how many bytes
 * @seed: of the random ones
 * @ops: operations to do at most
 */
struct model_script {
	const char *engine;
	const u8 *data;
	size_t size;
	u64 seed;
	u64 ops;
};

/* Load the module, do what the script says, unload it; how many operations that were. */
u64 model_run(const struct model_script *script);

/* ------------------ for what else decides as the script says -------------- */

/* 0 to n - 1 */
size_t pick(size_t n);
/* True once in @n times. */
bool one_in(size_t n);
u64 pick_word(void);

/* Say what is wrong, and at which operation, and stop. */
__printf(1, 2) __noreturn
void model_bug(const char *fmt, ...);

#endif /* _HOST_MODEL_H */
