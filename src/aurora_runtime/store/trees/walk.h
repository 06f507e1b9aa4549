/* The walk over nodes of one type, for walk.c: WALK, NODE, NUMBER (of its thresholds and rows), BITS (an integer of the
 * same size) and LEAF_BITS. */
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define FIND JOIN(WALK, _find)

/* The leaves of `trees` x `rows` walks, a tree's rows side by side. */
static void FIND(const Forest *forest, size_t first_tree, size_t trees, const NUMBER *rows, size_t count, size_t *leaves) {
  const NODE *nodes = forest->nodes;
  const NODE *at[LANES];
  const NUMBER *row[LANES];
  size_t walk[LANES];
  const size_t walks = trees * count;
  size_t lanes = walks < LANES ? walks : LANES, begun = 0, tree = first_tree, r = 0;

#define BEGIN(lane)                             \
  do {                                          \
    walk[lane] = begun++;                       \
    at[lane] = nodes + forest->roots[tree];     \
    row[lane] = rows + r * forest->features;    \
    if (++r == count) r = 0, tree++;            \
  } while (0)

  for (size_t lane = 0; lane < lanes; lane++) BEGIN(lane);
  while (lanes) {
    for (size_t lane = 0; lane < lanes; lane++) {
      const NODE node = *at[lane];
      const uint32_t beside = (row[lane][node.feature] <= node.threshold) ^ node.turned;
      /* beside ? 1 : offset, without a branch: which way a row goes cannot be foreseen. */
      const uint32_t step = node.offset ^ ((node.offset ^ 1) & -beside);
      at[lane] += step;
      if (__builtin_expect(step == 0, 0)) {
        union { NUMBER number; BITS bits; } leaf = {node.threshold};
        leaves[walk[lane]] = leaf.bits & (((BITS)1 << LEAF_BITS) - 1);
        if (begun < walks) {
          BEGIN(lane);
        } else {
          lanes--;
          at[lane] = at[lanes], row[lane] = row[lanes], walk[lane] = walk[lanes];
          lane--;
        }
      }
    }
  }
#undef BEGIN
}

/* Adds to `sums`, (count, targets), what the trees' leaves hold for `rows`, (count, features), in the order of the trees. */
void WALK(const Forest *forest, const NUMBER *rows, size_t count, double *sums) {
  const size_t width = forest->width, targets = forest->targets;
  const size_t most_rows = count < FINDS ? count : FINDS;
  size_t leaves[FINDS];
  if (count == 0) return;
  const size_t most_trees = FINDS / most_rows;
  for (size_t tree = 0; tree < forest->trees; tree += most_trees) {
    const size_t trees = forest->trees - tree < most_trees ? forest->trees - tree : most_trees;
    for (size_t first = 0; first < count; first += most_rows) {
      const size_t some = count - first < most_rows ? count - first : most_rows;
      FIND(forest, tree, trees, rows + first * forest->features, some, leaves);
      for (size_t t = 0, walk = 0; t < trees; t++) {
        for (size_t r = 0; r < some; r++, walk++) {
          double *sum = sums + (first + r) * targets + forest->first_target[tree + t];
          const double *value = forest->values + leaves[walk] * width;
          for (size_t k = 0; k < width; k++) sum[k] += value[k];
        }
      }
    }
  }
}

#undef FIND
#undef JOIN
#undef JOIN_
#undef WALK
#undef NODE
#undef NUMBER
#undef BITS
#undef LEAF_BITS
