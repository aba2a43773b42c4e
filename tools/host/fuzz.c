// SPDX-License-Identifier: GPL-2.0
/*
 * For libFuzzer, and AFL++, which knows the same interface: the first byte of an input
 * chooses the engine, unless CHAOS_ENGINE does, all others the operations.
 */
#define HOST_UNINTERRUPTED
#include "shim.h"

#include "model.h"

/* No input is as long as to need more. */
#define FUZZ_OPS	20000

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char * const engines[] = { "mimalloc", "tlsf", "evl" };
	struct model_script script = {
		.engine = getenv("CHAOS_ENGINE"), .seed = 1, .ops = FUZZ_OPS,
	};

	if (size < 2)
		return 0;
	if (!script.engine)
		script.engine = engines[data[0] % ARRAY_SIZE(engines)];
	script.data = data + 1;
	script.size = size - 1;
	model_run(&script);
	return 0;
}
