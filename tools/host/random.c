// SPDX-License-Identifier: GPL-2.0
/*
 * random ENGINE [--ops N] [--seed N] [--length N]: sequences of so many operations (100,000
 * if not told), each with the next seed, until there were N.
 */
#define HOST_UNINTERRUPTED
#include "shim.h"

#include "model.h"

static u64 parse(const char *text)
{
	char *end;
	u64 value = strtoull(text, &end, 0);

	if (*end)
		host_fatal("%s is no number", text);
	return value;
}

static void report(const struct model_script *script, u64 ops, u64 seeds, time_t start)
{
	printf("%s: %llu operations, %llu sequences, next seed %llu, %ld s\n",
	       script->engine, ops, seeds, script->seed, (long)(time(NULL) - start));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct model_script script = { .engine = argv[1], .seed = 1, .ops = 100000 };
	u64 ops = 1000000, done = 0, seeds = 0;
	time_t start = time(NULL), shown = start;
	int i;

	for (i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--ops") && i + 1 < argc)
			ops = parse(argv[++i]);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			script.seed = parse(argv[++i]);
		else if (!strcmp(argv[i], "--length") && i + 1 < argc)
			script.ops = parse(argv[++i]);
		else if (!strcmp(argv[i], "--verbose"))
			host_verbose = true;
		else
			host_fatal("usage: random ENGINE [--ops N] [--seed N] [--length N]");
	}
	for (; done < ops; script.seed++, seeds++) {
		done += model_run(&script);
		if (time(NULL) < shown + 10)
			continue;
		shown = time(NULL);
		report(&script, done, seeds, start);
	}
	report(&script, done, seeds, start);
	return 0;
}
