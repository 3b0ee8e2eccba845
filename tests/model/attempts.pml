/* The attempt counter under power cuts [AT-1]: disk = committed, cache = written and not synced. At each point the power may go: then what was in the cache is lost, or happened to
 * reach the disk. ORDER=1 is what the element does: count, fsync, judge. ORDER=2 leaves out the fsync, ORDER=3 judges first: both give more tries than the limit. */
#ifndef ORDER
#define ORDER 1
#endif
#define MAX 10
#define CUTS 6

byte disk = 0, cache = 0, tries = 0, cuts = 0;
bool erased = false;

inline sync() { disk = cache }

inline power() {
    if
    :: cuts < CUTS -> cuts++; if :: cache = disk :: disk = cache fi; goto boot
    :: true
    fi
}

active proctype element() {
    do
    :: erased -> break
    :: tries >= MAX + 4 -> break
    :: else ->
        if
        :: cache >= MAX -> erased = true
        :: else ->
#if ORDER == 3
            tries++;
            power();
            cache++;
            sync();
#else
            cache++;
            power();
#if ORDER == 1
            sync();
#endif
            power();
            tries++;
            power();
#endif
        fi;
boot:   skip
    od
}

ltl never_more_than_the_limit { [] (tries <= MAX) }
