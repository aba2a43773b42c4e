// SPDX-License-Identifier: GPL-2.0
/*
 * chaos_kmalloc: copies in clients' heaps, as mm/util.c and lib/kasprintf.c make them.
 */
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "dropin.h"

static char *copy_nul(struct chaos_client *client, const char *s, size_t len, gfp_t gfp,
		      unsigned long caller)
{
	char *copy = chaos_client_kmalloc(client, size_add(len, 1), gfp, caller);

	if (!copy)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

/**
 * chaos_kmemdup_nul() - kmemdup_nul() to a client's heap
 * @client: whose
 * @s: characters
 * @len: how many
 * @gfp: as for kmalloc()
 *
 * Context: see chaos_kmalloc()
 * Return: them and a NUL, or NULL
 */
char *chaos_kmemdup_nul(struct chaos_client *client, const char *s, size_t len, gfp_t gfp)
{
	return s ? copy_nul(client, s, len, gfp, _RET_IP_) : NULL;
}
EXPORT_SYMBOL_GPL(chaos_kmemdup_nul);

/**
 * chaos_kstrdup() - kstrdup() to a client's heap
 * @client: whose
 * @s: a string, or NULL
 * @gfp: as for kmalloc()
 *
 * Context: see chaos_kmalloc()
 * Return: the copy, or NULL
 */
char *chaos_kstrdup(struct chaos_client *client, const char *s, gfp_t gfp)
{
	/* The string may change meanwhile: what is copied is as long as it was. */
	return s ? copy_nul(client, s, strlen(s), gfp, _RET_IP_) : NULL;
}
EXPORT_SYMBOL_GPL(chaos_kstrdup);

/**
 * chaos_kstrndup() - kstrndup() to a client's heap
 * @client: whose
 * @s: a string, or NULL
 * @max: of which no more than these are copied
 * @gfp: as for kmalloc()
 *
 * Context: see chaos_kmalloc()
 * Return: the copy, or NULL
 */
char *chaos_kstrndup(struct chaos_client *client, const char *s, size_t max, gfp_t gfp)
{
	return s ? copy_nul(client, s, strnlen(s, max), gfp, _RET_IP_) : NULL;
}
EXPORT_SYMBOL_GPL(chaos_kstrndup);

/**
 * chaos_kmemdup() - kmemdup() to a client's heap
 * @client: whose
 * @src: what
 * @len: how many bytes of it
 * @gfp: as for kmalloc()
 *
 * Context: see chaos_kmalloc()
 * Return: the copy, ZERO_SIZE_PTR or NULL
 */
void *chaos_kmemdup(struct chaos_client *client, const void *src, size_t len, gfp_t gfp)
{
	void *copy = chaos_client_kmalloc(client, len, gfp, _RET_IP_);

	if (copy)
		memcpy(copy, src, len);
	return copy;
}
EXPORT_SYMBOL_GPL(chaos_kmemdup);

/**
 * chaos_kvmemdup() - kvmemdup() to a client's heap
 * @client: whose
 * @src: what
 * @len: how many bytes of it
 * @gfp: as for kvmalloc()
 *
 * Context: see chaos_kvmalloc()
 * Return: the copy, ZERO_SIZE_PTR or NULL
 */
void *chaos_kvmemdup(struct chaos_client *client, const void *src, size_t len, gfp_t gfp)
{
	void *copy = chaos_client_kvmalloc(client, len, gfp, _RET_IP_);

	if (copy)
		memcpy(copy, src, len);
	return copy;
}
EXPORT_SYMBOL_GPL(chaos_kvmemdup);

static __printf(3, 0) char *print(struct chaos_client *client, gfp_t gfp, const char *fmt,
				  va_list args, unsigned long caller)
{
	unsigned int len;
	va_list again;
	char *text;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	text = chaos_client_kmalloc(client, len + 1, gfp, caller);
	/* What is printed may have become longer since. */
	if (text)
		vscnprintf(text, len + 1, fmt, args);
	return text;
}

/**
 * chaos_kvasprintf() - kvasprintf() to a client's heap
 * @client: whose
 * @gfp: as for kmalloc()
 * @fmt: as for vsnprintf()
 * @args: its arguments
 *
 * Context: see chaos_kmalloc()
 * Return: the text, or NULL
 */
char *chaos_kvasprintf(struct chaos_client *client, gfp_t gfp, const char *fmt, va_list args)
{
	return print(client, gfp, fmt, args, _RET_IP_);
}
EXPORT_SYMBOL_GPL(chaos_kvasprintf);

/**
 * chaos_kasprintf() - kasprintf() to a client's heap
 * @client: whose
 * @gfp: as for kmalloc()
 * @fmt: as for snprintf()
 *
 * Context: see chaos_kmalloc()
 * Return: the text, or NULL
 */
char *chaos_kasprintf(struct chaos_client *client, gfp_t gfp, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = print(client, gfp, fmt, args, _RET_IP_);
	va_end(args);
	return text;
}
EXPORT_SYMBOL_GPL(chaos_kasprintf);
