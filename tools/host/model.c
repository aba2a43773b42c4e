// SPDX-License-Identifier: GPL-2.0
/*
 * Operations on heaps, as bytes or a random number generator decide, and what must come
 * of them.
 *
 * Every live block is filled with a pattern of its own, which is looked at when it is
 * freed, reallocated, or it is that slot's turn: two blocks that overlap would damage each
 * other.  What a call returns is compared with what the model knows; what the heap says
 * about itself (check, walk, statistics, reports) must agree with it.
 *
 * One thread does all of it, on several CPUs and at all context levels.  When the shim's
 * countdown has run out, wherever the module then is, other operations are done from
 * there: by an interrupt, or by another CPU.  A block that an interrupted call is about is
 * not in the model meanwhile.
 */
#define HOST_UNINTERRUPTED
#include "shim.h"

#include "chaos_alloc.h"
#include "damage.h"
#include "engine.h"
#include "heap.h"
#include "model.h"
#include "sabotage.h"
#include "track.h"

#define MODEL_HEAPS		3
#define MODEL_SLOTS		1024
#define MODEL_STALE		64
#define MODEL_BULK		80
#define MODEL_DEPTH		3
#define MODEL_NEAR		(512UL << 10)
#define MODEL_HUGE_POOL		(320UL << 20)
/* Of blocks beyond that, only so much at both ends has a pattern. */
#define MODEL_WHOLE		(4UL << 20)
#define MODEL_EDGE		(64UL << 10)
#define MODEL_POOL_MAX		(8UL << 20)

/**
 * struct model_block - a live block, or room for one
 * @p: where it is, or NULL
 * @size: how many bytes the client may use
 * @align: the alignment that it was asked for with, which a realloc keeps
 * @tag: tells its pattern from that of others
 * @heap: which heap it is from
 * @busy: an operation that is under way needs the room
 */
struct model_block {
	u8 *p;
	size_t size;
	size_t align;
	u64 tag;
	unsigned int heap;
	bool busy;
};

/**
 * struct model_heap - a heap
 * @heap: the heap, or NULL
 * @mem: the first pool, if it is the harness's
 * @mem_size: its bytes
 * @live: blocks in the model
 * @bad: reports that were provoked
 * @hardening: its level
 * @in_hook: its hook is running
 */
struct model_heap {
	struct chaos_heap *heap;
	void *mem;
	size_t mem_size;
	size_t live;
	unsigned long bad;
	unsigned int hardening;
	bool in_hook;
};

/**
 * struct model_stale - a block that has been freed
 * @p: where it was
 * @heap: which heap it was from
 */
struct model_stale {
	u8 *p;
	unsigned int heap;
};

static struct {
	const struct model_script *script;
	const u8 *next;
	const u8 *end;
	u64 random;
	u64 ops;
	u64 tags;
	unsigned int depth;
	unsigned int slots;
	unsigned int rate;
	unsigned int turn;
	bool huge;
	unsigned int cpu;
	struct model_heap heap[MODEL_HEAPS];
	struct model_block block[MODEL_SLOTS];
	struct model_stale stale[MODEL_STALE];
	unsigned int nr_stale;
} m;

void model_bug(const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	host_fatal("%s, seed %llu, operation %llu: %s", m.script->engine, m.script->seed,
		   m.ops, text);
}

/* -------------------------------- decisions ------------------------------- */

static u64 model_random(void)
{
	m.random ^= m.random << 13;
	m.random ^= m.random >> 7;
	m.random ^= m.random << 17;
	return m.random * 0x2545f4914f6cdd1dULL >> 16;
}

/* The next bytes of the script, as a number; 0 when there are no more. */
static u64 model_bytes(unsigned int n)
{
	u64 value = 0;

	while (n-- && m.next < m.end)
		value = value << 8 | *m.next++;
	return value;
}

size_t pick(size_t n)
{
	if (!m.script->data)
		return model_random() % n;
	return model_bytes(n <= 256 ? 1 : n <= 65536 ? 2 : 5) % n;
}

bool one_in(size_t n)
{
	return pick(n) == n - 1;
}

u64 pick_word(void)
{
	return m.script->data ? model_bytes(8) : model_random() << 32 ^ model_random();
}

static bool model_more(void)
{
	return m.ops < m.script->ops && (!m.script->data || m.next < m.end);
}

/* Small ones are the most frequent. */
static size_t pick_size(void)
{
	static const struct {
		unsigned int below;
		unsigned int max;
	} band[] = {
		{ 120, 128 }, { 200, 1024 }, { 245, 8 << 10 }, { 253, 64 << 10 },
	};
	unsigned int which = pick(256), i;

	for (i = 0; i < ARRAY_SIZE(band); i++)
		if (which < band[i].below)
			return 1 + pick(band[i].max);
	switch (pick(16)) {
	case 0:
		return 0;
	case 1 ... 2:
		return 1 + pick(m.huge ? 160 << 20 : 6 << 20);
	case 3:
		return 1 + pick(6 << 20);
	case 4:
		return SIZE_MAX >> pick(40);
	default:
		return 1UL << pick(20);
	}
}

static gfp_t pick_gfp(void)
{
	gfp_t gfp = pick(2) ? GFP_ATOMIC : GFP_NOWAIT;

	if (!m.depth && preemptible() && !host_locks && pick(2))
		gfp = GFP_KERNEL;
	if (one_in(256))
		gfp |= pick(2) ? __GFP_DMA : __GFP_ACCOUNT;
	return gfp | __GFP_NOWARN;
}

static bool gfp_is_refused(gfp_t gfp)
{
	return gfp & (__GFP_DMA | __GFP_ACCOUNT);
}

/* Any heap that there is. */
static unsigned int pick_heap(void)
{
	unsigned int h = pick(MODEL_HEAPS + 2);

	return h < MODEL_HEAPS && m.heap[h].heap ? h : 0;
}

/* The default heap has functions of its own, and NULL stands for it. */
static struct chaos_heap *heap_arg(unsigned int h)
{
	return !h && pick(2) ? NULL : m.heap[h].heap;
}

/* ---------------------------------- blocks -------------------------------- */

static u64 pattern(u64 tag, size_t word)
{
	return (tag + word) * 0x9e3779b97f4a7c15ULL;
}

static void fill_part(u8 *p, u64 tag, size_t size)
{
	size_t i;
	u64 last;

	for (i = 0; i < size / 8; i++)
		((u64 *)p)[i] = pattern(tag, i);
	last = pattern(tag, i);
	memcpy(p + i * 8, &last, size % 8);
}

/* Where the pattern at the end of a large block begins. */
static size_t far_edge(const struct model_block *b)
{
	return ALIGN_DOWN(b->size - MODEL_EDGE, 8);
}

static void fill(const struct model_block *b)
{
	if (b->size <= MODEL_WHOLE) {
		fill_part(b->p, b->tag, b->size);
		return;
	}
	fill_part(b->p, b->tag, MODEL_EDGE);
	fill_part(b->p + far_edge(b), ~b->tag, b->size - far_edge(b));
}

static void verify_part(const u8 *p, u64 tag, size_t size)
{
	size_t i;
	u64 last;

	for (i = 0; i < size / 8; i++)
		if (((u64 *)p)[i] != pattern(tag, i))
			model_bug("a block was changed at %p", p + i * 8);
	last = pattern(tag, i);
	if (memcmp(p + i * 8, &last, size % 8))
		model_bug("a block was changed at %p, its end", p + i * 8);
}

/* Are the first @size bytes, now at @p, what fill() has left in the block? */
static void verify(const struct model_block *b, const u8 *p, size_t size)
{
	if (b->size <= MODEL_WHOLE) {
		verify_part(p, b->tag, size);
		return;
	}
	verify_part(p, b->tag, min(size, MODEL_EDGE));
	if (size == b->size)
		verify_part(p + far_edge(b), ~b->tag, size - far_edge(b));
}

/* Room for a block; NULL: all slots are full. */
static struct model_block *slot_get(void)
{
	unsigned int i, start = pick(m.slots);
	struct model_block *b;

	for (i = 0; i < 8; i++) {
		b = &m.block[(start + i) % m.slots];
		if (!b->p && !b->busy) {
			b->busy = true;
			return b;
		}
	}
	return NULL;
}

/* A live block, out of the model; NULL: none was found. */
static struct model_block *slot_take(struct model_block *copy)
{
	unsigned int i, start = pick(m.slots);
	struct model_block *b;

	for (i = 0; i < 8; i++) {
		b = &m.block[(start + i) % m.slots];
		if (!b->p)
			continue;
		*copy = *b;
		b->p = NULL;
		b->busy = true;
		m.heap[b->heap].live--;
		return b;
	}
	return NULL;
}

static void slot_put(struct model_block *b)
{
	m.heap[b->heap].live++;
	b->busy = false;
}

static void slot_free(struct model_block *b)
{
	b->p = NULL;
	b->busy = false;
}

static void remember_stale(u8 *p, unsigned int h)
{
	m.stale[m.nr_stale++ % MODEL_STALE] = (struct model_stale){ p, h };
}

/* Is @p the start of a live block?  Only to be asked while nothing is under way. */
static bool is_live(const void *p)
{
	unsigned int i;

	for (i = 0; i < m.slots; i++)
		if (m.block[i].p == p)
			return true;
	return false;
}

static bool is_zero(const u8 *p, size_t size)
{
	return !memchr_inv(p, 0, size);
}

static size_t usable(unsigned int h, const void *p)
{
	return !h && pick(2) ? chaos_usable_size(p) : chaos_heap_usable_size(heap_arg(h), p);
}

/* What has been given to one is not given to another. */
static void alone(const u8 *p, size_t size)
{
	const struct model_block *b;
	unsigned int i;

	for (i = 0; i < m.slots; i++) {
		b = &m.block[i];
		if (b->p && p < b->p + max(b->size, 1UL) && b->p < p + max(size, 1UL))
			model_bug("block %p of %zu bytes is in block %p of %zu", p, size, b->p,
				  b->size);
	}
}

/* A new block, which must be as it was asked for. */
static void born(struct model_block *b, unsigned int h, u8 *p, size_t size, size_t align,
		 size_t kept, gfp_t gfp)
{
	size_t all = size;

	if ((unsigned long)p & (align - 1))
		model_bug("block %p of %zu bytes is not aligned to %zu", p, size, align);
	if (!chaos_heap_owns(m.heap[h].heap, p))
		model_bug("block %p of %zu bytes is not in a pool", p, size);
	if (gfp & __GFP_ZERO || one_in(16)) {
		all = usable(h, p);
		if (all < size)
			model_bug("block %p of %zu bytes has %zu", p, size, all);
		if (gfp & __GFP_ZERO && !is_zero(p, min(all, MODEL_WHOLE)))
			model_bug("block %p of %zu bytes is not zero", p, size);
		size = all;
	}
	alone(p, size);
	*b = (struct model_block){ .p = p, .size = size, .align = kept, .heap = h };
	b->tag = ++m.tags * 0x100000001b3ULL;
	fill(b);
	slot_put(b);
}

/* What the engine promises whoever does not ask for more.  A realloc may stay. */
static size_t natural(unsigned int h, size_t size)
{
	if (!m.heap[h].heap->engine->natural || !is_power_of_2(size))
		return CHAOS_MIN_ALIGN;
	return clamp(size, CHAOS_MIN_ALIGN, PAGE_SIZE);
}

/* What is no block: NULL, or ZERO_SIZE_PTR for no bytes. */
static bool is_none(void *p, size_t size, gfp_t gfp, struct model_block *b)
{
	if (p && gfp_is_refused(gfp))
		model_bug("gfp %x was not refused", gfp);
	if (!size && !gfp_is_refused(gfp) && p != ZERO_SIZE_PTR)
		model_bug("0 bytes give %p", p);
	if (p && size > CHAOS_SIZE_MAX)
		model_bug("%zu bytes were given", size);
	if (!ZERO_OR_NULL_PTR(p))
		return false;
	slot_free(b);
	return true;
}

/* -------------------------------- operations ------------------------------ */

static void op_alloc(void)
{
	unsigned int h = pick_heap();
	struct model_block *b = slot_get();
	size_t size = pick_size(), n;
	gfp_t gfp = pick_gfp();
	void *p;

	if (!b)
		return;
	switch (pick(8)) {
	case 0:
		gfp |= __GFP_ZERO;
		p = h ? chaos_heap_zalloc(heap_arg(h), size, gfp) : chaos_zalloc(size, gfp);
		break;
	case 1:
		gfp |= pick(2) ? __GFP_ZERO : 0;
		p = chaos_heap_alloc(heap_arg(h), size, gfp);
		break;
	case 2:
		if (h)
			goto plain;
		n = 1 + pick(16);
		if (one_in(64))
			n = SIZE_MAX / (1 + pick(64));
		gfp |= __GFP_ZERO;
		p = chaos_calloc(n, size, gfp);
		size = size_mul(n, size);
		break;
	default:
plain:
		p = h ? chaos_heap_alloc(m.heap[h].heap, size, gfp) : chaos_alloc(size, gfp);
	}
	if (!is_none(p, size, gfp, b))
		born(b, h, p, size, natural(h, size), CHAOS_MIN_ALIGN, gfp);
}

static void op_aligned(void)
{
	unsigned int h = pick_heap();
	struct model_block *b = slot_get();
	size_t size = pick_size(), align = 1UL << pick(pick(4) ? 13 : 24);
	gfp_t gfp = pick_gfp() | (pick(8) ? 0 : __GFP_ZERO);
	void *p;

	if (!b)
		return;
	if (one_in(32))
		align += pick(100);
	p = !h && pick(2) ? chaos_alloc_aligned(size, align, gfp) :
			    chaos_heap_alloc_aligned(heap_arg(h), size, align, gfp);
	if (!is_power_of_2(align) || align > CHAOS_MAX_ALIGN) {
		if (p)
			model_bug("alignment %zu gives %p", align, p);
		slot_free(b);
	} else if (!is_none(p, size, gfp, b)) {
		born(b, h, p, size, max(align, natural(h, size)), align, gfp);
	}
}

static void free_one(unsigned int h, void *p)
{
	if (h) {
		chaos_heap_free(m.heap[h].heap, p);
	} else if (!one_in(32)) {
		if (pick(4))
			chaos_free(p);
		else
			chaos_heap_free(heap_arg(0), p);
	} else {
		chaos_free_sensitive(p);
	}
}

static void op_free(void)
{
	struct model_block old, *b = slot_take(&old);

	if (!b) {
		free_one(pick_heap(), pick(2) ? NULL : ZERO_SIZE_PTR);
		return;
	}
	verify(&old, old.p, old.size);
	free_one(old.heap, old.p);
	remember_stale(old.p, old.heap);
	slot_free(b);
}

static void op_realloc(void)
{
	struct model_block old, *b = slot_take(&old);
	size_t size = pick_size(), kept;
	gfp_t gfp = pick_gfp();
	u8 *p;

	if (!b)
		return;
	if (one_in(4))
		size = old.size + pick(64);
	verify(&old, old.p, old.size);
	p = !old.heap && pick(2) ? chaos_realloc(old.p, size, gfp) :
				   chaos_heap_realloc(heap_arg(old.heap), old.p, size, gfp);
	if (!size) {
		if (p != ZERO_SIZE_PTR)
			model_bug("realloc to nothing gives %p", p);
		remember_stale(old.p, old.heap);
		slot_free(b);
		return;
	}
	if (p && (gfp_is_refused(gfp) || size > CHAOS_SIZE_MAX))
		model_bug("realloc to %zu bytes with gfp %x gives %p", size, gfp, p);
	if (!p && size <= old.size && !gfp_is_refused(gfp))
		model_bug("realloc from %zu to %zu bytes failed", old.size, size);
	if (!p) {
		verify(&old, old.p, old.size);
		*b = old;
		slot_put(b);
		return;
	}
	kept = min(size, old.size);
	verify(&old, p, kept);
	if (p != old.p)
		remember_stale(old.p, old.heap);
	born(b, old.heap, p, size, old.align, old.align, 0);
}

static void op_usable(void)
{
	struct model_block old, *b = slot_take(&old);

	if (!b)
		return;
	if (usable(old.heap, old.p) < old.size)
		model_bug("block %p of %zu bytes has less", old.p, old.size);
	verify(&old, old.p, old.size);
	*b = old;
	slot_put(b);
}

static void bulk_alloc(unsigned int h, size_t n)
{
	struct model_block *slots[MODEL_BULK];
	gfp_t gfp = pick_gfp() | (pick(8) ? 0 : __GFP_ZERO);
	size_t size = 1 + pick(pick(16) ? 512 : 64 << 10), i, got;
	void *p[MODEL_BULK];

	for (i = 0; i < n; i++) {
		slots[i] = slot_get();
		if (!slots[i])
			break;
	}
	n = i;
	got = !h && pick(2) ? chaos_alloc_bulk(size, gfp, n, p) :
			      chaos_heap_alloc_bulk(heap_arg(h), size, gfp, n, p);
	if (got && got != n)
		model_bug("bulk of %zu gives %zu", n, got);
	for (i = 0; i < n; i++) {
		if (got)
			born(slots[i], h, p[i], size, natural(h, size), CHAOS_MIN_ALIGN, gfp);
		else
			slot_free(slots[i]);
	}
}

static void bulk_free(size_t n)
{
	struct model_block old[MODEL_BULK], *slots[MODEL_BULK];
	unsigned int start = pick(m.slots), h = pick_heap();
	void *p[MODEL_BULK];
	size_t i, k = 0;

	for (i = 0; i < m.slots && k < n; i++) {
		struct model_block *b = &m.block[(start + i) % m.slots];

		if (!b->p || b->heap != h)
			continue;
		old[k] = *b;
		verify(b, b->p, b->size);
		p[k] = b->p;
		b->p = NULL;
		b->busy = true;
		m.heap[h].live--;
		slots[k++] = b;
	}
	if (k < MODEL_BULK && one_in(4)) {
		p[k] = pick(2) ? NULL : ZERO_SIZE_PTR;
		slots[k++] = NULL;
	}
	if (!h && pick(2))
		chaos_free_bulk(k, p);
	else
		chaos_heap_free_bulk(heap_arg(h), k, p);
	for (i = 0; i < k; i++) {
		if (!slots[i])
			continue;
		remember_stale(old[i].p, h);
		slot_free(slots[i]);
	}
}

static void op_bulk(void)
{
	size_t n = pick(pick(4) ? 16 : MODEL_BULK);

	if (pick(2))
		bulk_alloc(pick_heap(), n);
	else
		bulk_free(n);
}

/* ---------------------------------- misuse -------------------------------- */

/* What a report says, for each verdict. */
static const char *verdict_text(enum chaos_verdict verdict)
{
	switch (verdict) {
	case CHAOS_FOREIGN:	return "not from any heap";
	case CHAOS_OTHER_HEAP:	return "belongs to another heap";
	case CHAOS_INTERIOR:	return "not the start of a block";
	case CHAOS_FREED:	return "already freed";
	default:		return "?";
	}
}

/* Every function refuses the pointer; one report says that it is @verdict, or @other. */
static void misuse(unsigned int h, void *p, enum chaos_verdict verdict,
		   enum chaos_verdict other)
{
	struct chaos_heap *heap = m.heap[h].heap;
	unsigned long before = atomic_long_read(&heap->bad_frees), after;
	void *ret = NULL, *bulk[2] = { p, NULL };
	size_t size;

	host_last_message[0] = '\0';
	switch (pick(8)) {
	case 0:
		ret = chaos_heap_realloc(heap, p, 1 + pick(1000), GFP_ATOMIC | __GFP_NOWARN);
		break;
	case 1:
		size = chaos_heap_usable_size(heap, p);
		ret = (void *)size;
		break;
	case 2:
		chaos_heap_free_bulk(heap, 1 + pick(2), bulk);
		break;
	case 3:
		if (!h) {
			chaos_free_sensitive(p);
			break;
		}
		fallthrough;
	default:
		if (h)
			chaos_heap_free(heap, p);
		else
			chaos_free(p);
	}
	m.heap[h].bad++;
	after = atomic_long_read(&heap->bad_frees);
	/* Interrupts may have made mistakes as well. */
	if (ret || after <= before)
		model_bug("%p, which is %s, was accepted", p, verdict_text(verdict));
	if (m.rate)
		return;
	if (!strstr(host_last_message, verdict_text(verdict)) &&
	    !strstr(host_last_message, verdict_text(other)))
		model_bug("%p is not said to be %s, or %s", p, verdict_text(verdict),
			  verdict_text(other));
}

static void misuse_interior(void)
{
	struct model_block old, *b = slot_take(&old);
	size_t offset;

	if (!b)
		return;
	offset = pick(2) ? 1 + pick(old.size) : (1 + pick(old.size / 8 + 1)) * 8;
	/* How far tlsf and evl look for the start is bounded. */
	if (offset < old.size)
		misuse(old.heap, old.p + offset, CHAOS_INTERIOR,
		       offset < MODEL_NEAR ? CHAOS_INTERIOR : CHAOS_FREED);
	*b = old;
	slot_put(b);
}

static void misuse_stale(void)
{
	struct model_stale *stale = &m.stale[pick(MODEL_STALE)];
	struct chaos_heap *heap = m.heap[stale->heap].heap;
	bool owned;

	/* What is under way, or comes in between, might have it. */
	if (!stale->p || m.depth || m.rate || !heap || is_live(stale->p))
		return;
	owned = chaos_heap_owns(heap, stale->p);
	misuse(stale->heap, stale->p, owned ? CHAOS_FREED : CHAOS_FOREIGN,
	       owned ? CHAOS_INTERIOR : CHAOS_OTHER_HEAP);
}

static void misuse_foreign(void)
{
	static char here[64];
	unsigned int h = pick_heap(), other;
	struct model_block old, *b;
	void *p;

	switch (pick(5)) {
	case 0:
		p = here + pick(64);
		break;
	case 1:
		p = &p;
		break;
	case 2:
		p = (void *)(17 + pick(1 << 20));
		break;
	case 3:
		p = (void *)(model_random() << 16 ^ model_random());
		if (m.script->data)
			p = (void *)(model_bytes(8) | 1);
		if (ZERO_OR_NULL_PTR(p) || chaos_heap_owns(m.heap[0].heap, p) ||
		    (m.heap[1].heap && chaos_heap_owns(m.heap[1].heap, p)) ||
		    (m.heap[2].heap && chaos_heap_owns(m.heap[2].heap, p)))
			return;
		break;
	default:
		b = slot_take(&old);
		if (!b)
			return;
		other = (old.heap + 1) % MODEL_HEAPS;
		if (m.heap[other].heap)
			misuse(other, old.p, CHAOS_OTHER_HEAP, CHAOS_OTHER_HEAP);
		*b = old;
		slot_put(b);
		return;
	}
	misuse(h, p, CHAOS_FOREIGN, CHAOS_FOREIGN);
}

/* At level 2, what was written past the end of a block is found when it is freed. */
static void misuse_overrun(void)
{
	struct model_block old, *b = slot_take(&old);
	struct model_heap *mh;
	unsigned long before;
	size_t size, past;

	if (!b)
		return;
	mh = &m.heap[old.heap];
	if (mh->hardening < 2 || m.depth || m.rate || in_nmi()) {
		*b = old;
		slot_put(b);
		return;
	}
	verify(&old, old.p, old.size);
	size = chaos_heap_usable_size(mh->heap, old.p);
	past = 1 + pick(8);
	for (; past; past--)
		old.p[size + past - 1] ^= 0x80 | pick(128);
	mh->bad++;
	before = atomic_long_read(&mh->heap->bad_frees);
	if (one_in(2)) {
		u8 *p = chaos_heap_realloc(mh->heap, old.p, size + pick(100), GFP_ATOMIC);

		if (p)
			old.p = p;
		/* The hook may have made mistakes as well. */
		if (atomic_long_read(&mh->heap->bad_frees) <= before)
			model_bug("an overrun of %p was not reported by realloc", old.p);
		verify(&old, old.p, old.size);
		*b = old;
		slot_put(b);
		return;
	}
	chaos_heap_free(mh->heap, old.p);
	if (atomic_long_read(&mh->heap->bad_frees) != before + 1)
		model_bug("an overrun of %p was not reported", old.p);
	remember_stale(old.p, old.heap);
	slot_free(b);
}

static void op_misuse(void)
{
	switch (pick(8)) {
	case 0 ... 1:
		misuse_interior();
		break;
	case 2 ... 4:
		misuse_stale();
		break;
	case 5:
		misuse_overrun();
		break;
	default:
		misuse_foreign();
	}
}

/* --------------------------- operations in any context -------------------- */

static void any_op(void)
{
	m.ops++;
	switch (pick(100)) {
	case 0 ... 38:
		op_alloc();
		break;
	case 39 ... 76:
		op_free();
		break;
	case 77 ... 85:
		op_realloc();
		break;
	case 86 ... 92:
		op_aligned();
		break;
	case 93 ... 95:
		op_bulk();
		break;
	case 96:
		op_usable();
		break;
	default:
		op_misuse();
	}
}

/* One after the other, every block is looked at. */
static void verify_next(void)
{
	struct model_block *b = &m.block[m.turn++ % m.slots];

	if (b->p)
		verify(b, b->p, b->size);
}

/* -------------------------------- interruptions --------------------------- */

static void model_arm(void)
{
	host_countdown = m.rate ? 1 + pick(m.rate) : 0;
}

/* From wherever the module is: by an interrupt of this CPU, or by another CPU. */
static void model_interrupt(void)
{
	enum host_level level = pick(HOST_LEVELS);
	unsigned int cpu = pick(2) ? host_cpu : pick(NR_CPUS), n = 1 + pick(3);
	struct host_place from;

	if (m.depth < MODEL_DEPTH && host_may_enter(cpu, level)) {
		m.depth++;
		host_enter(cpu, level, &from);
		while (n-- && model_more())
			any_op();
		host_run_irq_work();
		host_leave(&from);
		m.depth--;
	}
	model_arm();
}

/* In some context, with nothing under way. */
static void outer_op(void)
{
	static const enum host_level levels[] = {
		HOST_TASK, HOST_TASK, HOST_TASK, HOST_TASK, HOST_TASK,
		HOST_SOFTIRQ, HOST_HARDIRQ, HOST_NMI,
	};
	enum host_level level = levels[pick(ARRAY_SIZE(levels))];
	unsigned int off = pick(8);
	struct host_place from;
	unsigned long flags;

	if (one_in(16))
		m.cpu = pick(NR_CPUS);
	if (!host_online[m.cpu])
		m.cpu = 0;
	host_cpu = m.cpu;
	if (level == HOST_TASK && off == 0) {
		preempt_disable();
		any_op();
		preempt_enable();
	} else if (level == HOST_TASK && off == 1) {
		local_irq_save(flags);
		any_op();
		local_irq_restore(flags);
	} else if (level == HOST_TASK) {
		any_op();
	} else {
		host_enter(m.cpu, level, &from);
		any_op();
		host_leave(&from);
	}
	host_run_irq_work();
}

/* ---------------------------------- heaps --------------------------------- */

static size_t pick_pool_size(void)
{
	size_t size = CHAOS_UNIT_SIZE << pick(8);

	return min(pick(4) ? size : size + pick(CHAOS_UNIT_SIZE), MODEL_POOL_MAX);
}

static void *pick_memory(size_t *size)
{
	size_t all = CHAOS_UNIT_SIZE * (2 + pick(16));
	char *mem = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		host_fatal("no memory for a pool");
	*size = all;
	return mem;
}

/* A heap that could be had, or not for want of memory. */
static void heap_create(unsigned int h)
{
	struct model_heap *mh = &m.heap[h];
	struct chaos_heap_params params = {
		.name = pick(4) ? "model" : NULL,
		.allocator = h == 1 || pick(2) ? m.script->engine : NULL,
		.pool_size = pick_pool_size(),
		.node = pick(2) ? NUMA_NO_NODE : pick(host_nodes),
		.hardening = pick(4),
		.track = one_in(3) ? pick(4) : CHAOS_TRACK_DEFAULT,
	};
	unsigned long failed = host_failed;
	struct chaos_heap *heap;

	*mh = (struct model_heap){ .heap = NULL };
	if (one_in(8)) {
		params.pool_size = MODEL_HUGE_POOL + pick(CHAOS_UNIT_SIZE);
		m.huge = true;
	}
	if (pick(2))
		params.max_size = params.pool_size + pick(4) * params.pool_size;
	if (one_in(4)) {
		mh->mem = pick_memory(&mh->mem_size);
		params.mem = mh->mem;
		params.mem_size = mh->mem_size;
		params.pool_size = pick(2) ? 0 : params.pool_size;
		params.max_size = 0;
	}
	heap = chaos_heap_create(&params);
	if (IS_ERR(heap)) {
		if (host_failed == failed)
			model_bug("a heap could not be created: %ld", PTR_ERR(heap));
		if (mh->mem)
			munmap(mh->mem, mh->mem_size);
		return;
	}
	mh->heap = heap;
	mh->hardening = heap->hardening;
}

static void expect_bad_params(struct chaos_heap_params *params)
{
	if (!IS_ERR(chaos_heap_create(params)))
		model_bug("bad parameters were accepted");
}

static void heap_create_bad(void)
{
	struct chaos_heap_params params = {
		.allocator = m.script->engine, .pool_size = 1 << 20, .node = NUMA_NO_NODE,
	};

	switch (pick(12)) {
	case 0:
		params.allocator = "none";
		break;
	case 1:
		params.pool_size = 0;
		break;
	case 2:
		params.pool_size = CHAOS_UNIT_SIZE - 1;
		break;
	case 3:
		params.pool_size = SIZE_MAX;
		break;
	case 4:
		params.max_size = 1 << 16;
		break;
	case 5:
		params.node = host_nodes;
		break;
	case 6:
		params.node = -7;
		break;
	case 7:
		params.hardening = 4;
		break;
	case 8:
		params.mem = &params;
		break;
	case 9:
		params.mem = &params;
		params.mem_size = sizeof(params);
		break;
	case 10:
		params.mem_size = 1 << 20;
		break;
	default:
		params.mem = (void *)(-1UL << 20);
		params.mem_size = SIZE_MAX;
	}
	expect_bad_params(&params);
	if (!IS_ERR(chaos_heap_create(NULL)))
		model_bug("no parameters were accepted");
}

/* All blocks of the heap go, one by one or with it. */
static void forget_blocks(unsigned int h, bool free)
{
	unsigned int i;

	for (i = 0; i < m.slots; i++) {
		struct model_block *b = &m.block[i];

		if (!b->p || b->heap != h)
			continue;
		verify(b, b->p, b->size);
		if (free)
			chaos_heap_free(m.heap[h].heap, b->p);
		m.heap[h].live--;
		slot_free(b);
	}
	for (i = 0; i < MODEL_STALE; i++)
		if (m.stale[i].heap == h && !free)
			m.stale[i].p = NULL;
}

static void heap_destroy(unsigned int h)
{
	struct model_heap *mh = &m.heap[h];

	if (!mh->heap)
		return;
	forget_blocks(h, false);
	chaos_heap_destroy(mh->heap);
	if (mh->mem)
		munmap(mh->mem, mh->mem_size);
	*mh = (struct model_heap){ .heap = NULL };
}

/* ------------------------- the heap's word for it ------------------------- */

/* Without memory, it could not be told; that is no error. */
static bool was_starved(int err, unsigned long failed)
{
	return err == -ENOMEM && host_failed > failed;
}

static void op_check(unsigned int h)
{
	unsigned long failed = host_failed;
	int err = chaos_heap_check(heap_arg(h));

	if (err && !was_starved(err, failed))
		model_bug("check says %d", err);
}

/**
 * struct model_walk - what a walk has seen
 * @h: of which heap
 * @blocks: how many
 * @stop: after so many blocks
 */
struct model_walk {
	unsigned int h;
	size_t blocks;
	size_t stop;
};

static bool walk_visit(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	struct model_walk *walk = arg;
	unsigned int i;

	walk->blocks++;
	for (i = 0; !m.rate && i < m.slots; i++)
		if (m.block[i].p == p)
			break;
	if (!m.rate && (i == m.slots || m.block[i].heap != walk->h))
		model_bug("the walk finds %p of %zu bytes, which is not live", p, size);
	if (!m.rate && size < m.block[i].size)
		model_bug("the walk finds %p of %zu bytes, which has %zu", p, size,
			  m.block[i].size);
	return walk->blocks != walk->stop;
}

/* With interruptions, the blocks are not the same throughout. */
static void op_walk(unsigned int h)
{
	struct model_walk walk = { .h = h, .stop = one_in(4) ? 1 + pick(16) : 0 };
	unsigned long failed = host_failed;
	int err = chaos_heap_walk(heap_arg(h), walk_visit, &walk);
	bool stopped = walk.stop && walk.blocks >= walk.stop;

	if (was_starved(err, failed))
		return;
	if (err != (stopped ? -ECANCELED : 0))
		model_bug("walk says %d", err);
	if (!m.rate && !stopped && walk.blocks != m.heap[h].live)
		model_bug("the walk finds %zu blocks of %zu", walk.blocks, m.heap[h].live);
}

/**
 * struct model_map - what a map has of one pool after the other
 * @pool: this one
 * @blocks: in all of them
 */
struct model_map {
	const struct chaos_pool *pool;
	size_t blocks;
};

static bool map_visit(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	struct model_map *map = arg;

	map->blocks++;
	if (!chaos_pool_holds(map->pool, p, size))
		model_bug("%p of %zu bytes is in another pool", p, size);
	return true;
}

/* Where the map has no block, there is none. */
static void unusable_agrees(struct chaos_heap *heap, const struct chaos_pool *pool)
{
	size_t at = 0, cell;
	unsigned int i;

	if (!heap->engine->next_unusable)
		return;
	cell = heap->engine->cell(pool);
	for (;; at += cell) {
		at = heap->engine->next_unusable(pool, at);
		if (at >= pool->size)
			break;
		for (i = 0; !m.rate && i < m.slots; i++)
			if (m.block[i].p &&
			    (unsigned long)m.block[i].p - pool->start < at + cell &&
			    (unsigned long)m.block[i].p - pool->start + m.block[i].size > at)
				model_bug("%p is where no block can be", m.block[i].p);
	}
}

/* As see.c does: pool by pool. */
static void op_map(unsigned int h)
{
	struct chaos_heap *heap = m.heap[h].heap;
	unsigned long failed = host_failed;
	struct model_map map = {};
	struct chaos_pool *pool;
	unsigned int noio;
	int err = 0;

	noio = chaos_heap_lock_cpus(heap);
	list_for_each_entry(pool, &heap->pools, node) {
		map.pool = pool;
		err = heap->engine->walk(heap, pool, map_visit, &map);
		if (err)
			break;
		unusable_agrees(heap, pool);
	}
	chaos_heap_unlock_cpus(heap, noio);
	if (was_starved(err, failed))
		return;
	if (err)
		model_bug("walk says %d of a pool", err);
	if (!m.rate && map.blocks != m.heap[h].live)
		model_bug("the map has %zu blocks of %zu", map.blocks, m.heap[h].live);
}

static size_t live_bytes(unsigned int h)
{
	size_t sum = 0;
	unsigned int i;

	for (i = 0; i < m.slots; i++)
		if (m.block[i].p && m.block[i].heap == h)
			sum += m.block[i].size;
	return sum;
}

static void stats_agree(unsigned int h, const struct chaos_heap_stats *s)
{
	if (s->live_blocks != m.heap[h].live ||
	    s->allocs - s->local_frees - s->foreign_frees != s->live_blocks)
		model_bug("%zu live blocks, %llu allocated, %llu + %llu freed; it is %zu",
			  s->live_blocks, s->allocs, s->local_frees, s->foreign_frees,
			  m.heap[h].live);
	if (s->live_bytes < live_bytes(h) || s->held_bytes < s->live_bytes ||
	    s->pool_bytes < s->held_bytes || s->peak_held_bytes < s->held_bytes)
		model_bug("%zu bytes of clients, %zu live, %zu held, %zu at most, %zu in all",
			  live_bytes(h), s->live_bytes, s->held_bytes, s->peak_held_bytes,
			  s->pool_bytes);
	if (s->bad_frees != m.heap[h].bad)
		model_bug("%lu bad pointers reported, %lu given", s->bad_frees, m.heap[h].bad);
}

static bool walk_add(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	*(size_t *)arg += size;
	return true;
}

/* Each block has a caller, whatever has been done to it. */
static void callers_agree(struct chaos_heap *heap, size_t blocks, size_t bytes)
{
	static struct chaos_callers callers;
	unsigned long failed = host_failed;
	unsigned int i;
	int err;

	if (!heap->track)
		return;
	cpus_read_lock();
	err = chaos_callers_find(heap, &callers, NULL, NULL);
	cpus_read_unlock();
	if (was_starved(err, failed))
		return;
	for (i = 0; i < callers.n; i++) {
		blocks -= callers.slots[i].blocks;
		bytes -= callers.slots[i].bytes;
	}
	if (blocks || bytes || callers.others.blocks || callers.damaged.blocks)
		model_bug("%zu blocks, %zu bytes without a caller", blocks, bytes);
}

/* The bytes of blocks, as the walk finds them, and of pools. */
static void bytes_agree(unsigned int h, const struct chaos_heap_stats *s)
{
	size_t blocks = 0, pools = 0, n = 0;
	unsigned long failed = host_failed;
	struct chaos_pool *pool;
	int err;

	list_for_each_entry(pool, &m.heap[h].heap->pools, node) {
		pools += pool->size;
		n++;
	}
	if (s->pools != n || s->pool_bytes != pools)
		model_bug("%u pools of %zu bytes; it is %zu of %zu", s->pools, s->pool_bytes, n,
			  pools);
	err = chaos_heap_walk(heap_arg(h), walk_add, &blocks);
	if (was_starved(err, failed))
		return;
	/* The walk finds what is the clients', and the engine has the trailers as well. */
	if (m.heap[h].heap->trailer ? blocks > s->live_bytes : blocks != s->live_bytes)
		model_bug("%zu live bytes; the walk finds %zu", s->live_bytes, blocks);
	callers_agree(m.heap[h].heap, s->live_blocks, blocks);
}

/* The classes add up to the heap. */
static void classes_agree(unsigned int h, const struct chaos_heap_stats *s,
			  const struct chaos_class_stats *classes, size_t n)
{
	struct chaos_class_stats sum = { };
	bool mi = m.heap[h].heap->engine->cpu_dead;

	while (n--) {
		sum.live_blocks += classes[n].live_blocks;
		sum.live_bytes += classes[n].live_bytes;
		sum.page_bytes += classes[n].page_bytes;
		sum.pages += classes[n].pages;
		sum.abandoned_pages += classes[n].abandoned_pages;
		sum.allocs += classes[n].allocs;
		sum.local_frees += classes[n].local_frees;
		sum.foreign_frees += classes[n].foreign_frees;
	}
	if (sum.live_blocks != s->live_blocks || sum.live_bytes != s->live_bytes ||
	    sum.page_bytes != s->held_bytes)
		model_bug("classes of %zu blocks, %zu bytes, %zu held; the heap has %zu, %zu, %zu",
			  sum.live_blocks, sum.live_bytes, sum.page_bytes, s->live_blocks,
			  s->live_bytes, s->held_bytes);
	if (sum.allocs != s->allocs || sum.local_frees != s->local_frees ||
	    sum.foreign_frees != s->foreign_frees ||
	    (mi && (sum.pages != s->pages || sum.abandoned_pages != s->abandoned_pages)))
		model_bug("classes: %llu, %llu, %llu, %zu, %zu; heap: %llu, %llu, %llu, %zu, %zu",
			  sum.allocs, sum.local_frees, sum.foreign_frees, sum.pages,
			  sum.abandoned_pages, s->allocs, s->local_frees, s->foreign_frees,
			  s->pages, s->abandoned_pages);
}

static struct chaos_class_stats model_classes[200];

static size_t get_classes(unsigned int h)
{
	size_t n = chaos_heap_class_stats(heap_arg(h), model_classes,
					  ARRAY_SIZE(model_classes));

	if (n > ARRAY_SIZE(model_classes))
		model_bug("%zu classes", n);
	return n;
}

static void op_stats(unsigned int h)
{
	unsigned long failed = host_failed;
	struct chaos_heap_stats stats;
	size_t n;

	chaos_heap_stats(heap_arg(h), &stats);
	if (!m.rate) {
		stats_agree(h, &stats);
		bytes_agree(h, &stats);
		if (m.heap[h].heap->engine->cpu_dead &&
		    stats.abandoned_pages != damage_count_listed(m.heap[h].heap))
			model_bug("%zu abandoned pages; it is %zu", stats.abandoned_pages,
				  damage_count_listed(m.heap[h].heap));
	}
	chaos_heap_class_stats(heap_arg(h), model_classes, 3);
	n = get_classes(h);
	if (n && !m.rate && host_failed == failed)
		classes_agree(h, &stats, model_classes, n);
}

/* However busy its CPUs are and have been. */
static void collect_all(struct chaos_heap *heap)
{
	host_late_countdown = 0;
	host_settle();
	chaos_heap_collect(heap, true);
}

/*
 * Where a class has pages that nobody owns, with room, the next allocation takes one of
 * them, and no fresh one.
 */
static void op_adopt(unsigned int h)
{
	struct chaos_heap *heap = m.heap[h].heap;
	unsigned long failed = host_failed;
	struct chaos_class_stats before;
	size_t n, i, k;
	void *p;

	if (m.rate || heap->trailer || !heap->engine->cpu_dead ||
	    heap->deferred_free)
		return;
	collect_all(heap);
	n = get_classes(h);
	for (i = 0, k = n ? pick(n) : 0; i < n; i++, k = k + 1 < n ? k + 1 : 0)
		if (model_classes[k].abandoned_pages && model_classes[k].block_size)
			break;
	if (i == n || host_failed != failed)
		return;
	before = model_classes[k];
	p = chaos_heap_alloc(heap, before.block_size, GFP_NOWAIT | __GFP_NOWARN);
	get_classes(h);
	if (host_failed != failed)
		goto free;
	if (!p || model_classes[k].adopted != before.adopted + 1 ||
	    model_classes[k].pages != before.pages)
		model_bug("%zu abandoned pages of %zu bytes, none adopted: %llu, %zu; %llu, %zu",
			  before.abandoned_pages, before.block_size, before.adopted,
			  before.pages, model_classes[k].adopted, model_classes[k].pages);
free:
	chaos_heap_free(heap, p);
}

/* ----------------------- operations in a task's context ------------------- */

static void op_work(void)
{
	unsigned int n = pick(8);

	host_advance(pick(4) ? pick(50) : pick(3000));
	while (n-- && host_run_work())
		host_run_irq_work();
}

static void op_option(unsigned int h)
{
	static const unsigned long most[] = { 50, 3600000, 3600000, 1UL << 30, 1UL << 24 };
	enum chaos_option option = pick(6);
	unsigned long value, got;
	int err;

	if ((unsigned int)option == ARRAY_SIZE(most)) {
		if (!chaos_heap_set_option(heap_arg(h), option, 1) ||
		    !chaos_heap_get_option(heap_arg(h), option, &got))
			model_bug("an option that there is not was set");
		return;
	}
	value = pick(2) ? pick(200) : pick(most[option]) + pick(4);
	err = chaos_heap_set_option(heap_arg(h), option, value);
	if (err && err != -EINVAL)
		model_bug("option %d: %d", option, err);
	if (chaos_heap_get_option(heap_arg(h), option, &got) || (!err && got != value))
		model_bug("option %d is %lu, not %lu", option, got, value);
}

static void op_hotplug(void)
{
	unsigned int cpu = 1 + pick(NR_CPUS - 1);

	m.cpu = 0;
	host_cpu = 0;
	if (host_online[cpu])
		host_cpu_down(cpu);
	else
		host_cpu_up(cpu);
}

static void op_shrink(void)
{
	switch (pick(4)) {
	case 0:
		host_shrink(pick(host_nodes), 0);
		break;
	case 1:
		host_oom();
		break;
	default:
		host_shrink(pick(host_nodes), 1 + pick(4096));
	}
}

/* A client that allocates and frees in its hook; it is not entered from within. */
static void model_hook(struct chaos_heap *heap, bool force, u64 heartbeat, void *arg)
{
	struct model_heap *mh = arg;

	if (mh->in_hook || in_nmi())
		model_bug("the hook was entered from within, or in NMI");
	mh->in_hook = true;
	if (m.depth < MODEL_DEPTH) {
		m.depth++;
		any_op();
		m.depth--;
	}
	mh->in_hook = false;
}

static void op_hook(unsigned int h)
{
	chaos_heap_set_option(heap_arg(h), CHAOS_OPT_HEARTBEAT, 1 + pick(64));
	chaos_register_deferred_free(heap_arg(h), pick(2) ? model_hook : NULL, &m.heap[h]);
}

static void op_add_pool(unsigned int h)
{
	struct model_heap *mh = &m.heap[h];
	unsigned long failed = host_failed;
	int err;

	if (!h || mh->mem)
		return;
	mh->mem = pick_memory(&mh->mem_size);
	err = chaos_heap_add_pool(mh->heap, mh->mem, mh->mem_size);
	if (err && !was_starved(err, failed))
		model_bug("a pool could not be added: %d", err);
	if (!err && chaos_heap_add_pool(mh->heap, mh->mem, mh->mem_size) != -EEXIST &&
	    host_failed == failed)
		model_bug("a pool was added twice");
	if (!err)
		return;
	munmap(mh->mem, mh->mem_size);
	mh->mem = NULL;
}

static void task_op(void)
{
	unsigned int h = pick_heap();
	unsigned long countdown = host_countdown;

	m.ops++;
	host_cpu = m.cpu;
	switch (pick(24)) {
	case 0 ... 1:
		op_check(h);
		break;
	case 2:
		if (pick(2))
			op_walk(h);
		else
			op_map(h);
		break;
	case 3:
		op_stats(h);
		break;
	case 4:
		op_adopt(h);
		break;
	case 5 ... 8:
		op_work();
		break;
	case 9 ... 10:
		op_option(h);
		break;
	case 11 ... 12:
		chaos_heap_collect(heap_arg(h), pick(2));
		break;
	case 13:
		op_hotplug();
		break;
	case 14:
		op_shrink();
		break;
	case 15:
		op_hook(h);
		break;
	case 16:
		op_add_pool(h);
		break;
	case 17:
		countdown = host_countdown;
		sabotage(m.script->engine, m.cpu, !m.script->data);
		host_countdown = countdown;
		break;
	case 18:
		host_countdown = 0;
		h = 1 + pick(MODEL_HEAPS - 1);
		if (m.heap[h].heap)
			heap_destroy(h);
		else
			heap_create(h);
		host_countdown = countdown;
		break;
	case 19:
		heap_create_bad();
		break;
	case 20 ... 21:
		host_fail_countdown = 1 + pick(6);
		break;
	case 22:
		if (pick(2))
			host_trylock_countdown = 1 + pick(64);
		else
			host_late_countdown = 1 + pick(NR_CPUS);
		break;
	default:
		m.rate = pick(3) ? 1UL << (3 + pick(8)) : 0;
		model_arm();
	}
}

/* ----------------------------------- all ---------------------------------- */

/* When all blocks are free, nothing is held, and most of a pool can be had again. */
static void all_comes_back(unsigned int h)
{
	struct chaos_heap *heap = m.heap[h].heap;
	struct chaos_heap_stats stats;
	struct chaos_pool *pool;
	size_t most = 0;
	void *p;

	forget_blocks(h, true);
	chaos_register_deferred_free(heap, NULL, NULL);
	collect_all(heap);
	op_check(h);
	chaos_heap_stats(heap, &stats);
	stats_agree(h, &stats);
	if (stats.held_bytes || stats.live_bytes || stats.abandoned_pages ||
	    (heap->engine->cpu_dead && stats.pages))
		model_bug("an empty heap holds %zu bytes, %zu live; %zu pages, %zu abandoned",
			  stats.held_bytes, stats.live_bytes, stats.pages,
			  stats.abandoned_pages);
	list_for_each_entry(pool, &heap->pools, node) {
		if (pool->grown)
			model_bug("an empty heap keeps a pool of %zu bytes by which it grew",
				  pool->size);
		most = max(most, pool->size);
	}
	p = chaos_heap_alloc(heap, most / 2 - 256, GFP_ATOMIC | __GFP_NOWARN);
	if (!p && most > 4 * CHAOS_UNIT_SIZE)
		model_bug("half of an empty pool of %zu bytes is not to be had", most);
	chaos_heap_free(heap, p);
}

/* As insmod and rmmod. */
static bool model_load(void)
{
	char pool[24], max[24], level[24];
	size_t size = pick_pool_size();

	snprintf(pool, sizeof(pool), "%zu", size);
	snprintf(max, sizeof(max), "%zu", size * pick(4));
	snprintf(level, sizeof(level), "%zu", pick(3));
	static_branch_enable(&chaos_default_is_mi);
	static_branch_disable(&chaos_default_is_evl);
	if (host_set_param("allocator", m.script->engine) || host_set_param("pool_size", pool) ||
	    host_set_param("max_size", max) || host_set_param("hardening", level))
		host_fatal("the parameters were refused");
	host_nodes = 1 + !pick(4);
	if (one_in(8))
		host_fail_countdown = 1 + pick(16);
	if (host_module_init()) {
		if (!host_failed)
			host_fatal("the module does not load");
		return false;
	}
	m.heap[0] = (struct model_heap){
		.heap = chaos_default, .hardening = chaos_default->hardening,
	};
	return true;
}

static void model_unload(void)
{
	unsigned int h;

	for (h = 1; h < MODEL_HEAPS; h++)
		heap_destroy(h);
	forget_blocks(0, pick(2));
	host_run_irq_work();
	host_module_exit();
}

static void model_go(void)
{
	unsigned int h;

	m.slots = 16 << pick(7);
	m.rate = pick(3) ? 0 : 1UL << (4 + pick(6));
	model_arm();
	while (model_more()) {
		if (pick(128))
			outer_op();
		else
			task_op();
		verify_next();
	}
	host_countdown = 0;
	host_fail_countdown = 0;
	host_trylock_countdown = 0;
	host_late_countdown = 0;
	m.rate = 0;
	host_cpu = 0;
	for (h = 0; h < MODEL_HEAPS; h++)
		if (m.heap[h].heap)
			all_comes_back(h);
}

u64 model_run(const struct model_script *script)
{
	unsigned int cpu;

	memset(&m, 0, sizeof(m));
	m.script = script;
	m.random = script->seed * 0x9e3779b97f4a7c15ULL | 1;
	m.next = script->data;
	m.end = script->data + script->size;
	host_seed = m.random ^ 0x5851f42d4c957f2dULL;
	host_failed = 0;
	host_fail_countdown = 0;
	host_interrupt_hook = model_interrupt;
	host_jiffies = -100000UL;
	if (model_load()) {
		model_go();
		model_unload();
	}
	host_fail_countdown = 0;
	for_each_possible_cpu(cpu)
		host_cpu_up(cpu);
	if (atomic_long_read(&host_allocated))
		model_bug("%ld pieces of memory are left", atomic_long_read(&host_allocated));
	return m.ops;
}
