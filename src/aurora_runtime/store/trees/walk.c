/* Rows through decision trees. A walk is a chain of loads that each wait for the one before, mostly on memory: a forest
 * does not fit the caches. So several walks go on at once, a step of each in turn, and their loads overlap.
 *
 * Freestanding C11: it needs no library, and so runs with any. The arrays are checked by forest.py before they come here.
 */
#include <stddef.h>
#include <stdint.h>

enum {
  LANES = 16, /* walks at once: about as many loads as a core has under way */
  FINDS = 512 /* walks whose leaves are added up together */
};

/* As struct Forest in native.py. */
typedef struct {
  const void *nodes;
  const uint32_t *roots;        /* of each tree: its first node */
  const uint32_t *first_target; /* of each tree: where its values begin among the targets */
  const double *values;         /* (leaves, width) */
  size_t trees, width, features, targets;
} Forest;

/* Nodes lie in depth first order, after each the child that most training rows went to. `offset` leads to the other one,
 * and is zero at a leaf, whose number is in the lowest bits of its threshold: a NaN, that no number is at most. */
typedef struct {
  float threshold;
  uint32_t offset : 23, turned : 1, feature : 8;
} CompactNode;

typedef struct {
  double threshold;
  uint32_t offset : 31, turned : 1, feature;
} WideNode;

#define WALK walk_compact
#define NODE CompactNode
#define NUMBER float
#define BITS uint32_t
#define LEAF_BITS 22
#include "walk.h"

#define WALK walk_wide
#define NODE WideNode
#define NUMBER double
#define BITS uint64_t
#define LEAF_BITS 51
#include "walk.h"
