/* A lock with open files [CH-8] [LK-1]: requests of threads that serve, the two phases (drain, then drop), an unlock that comes between, the programs' death.
 * What must hold: once a lock is confirmed no request is answered with plaintext of `complete` until an unlock; a request that is being served when the keys go is waited for;
 * a confirmed lock leaves no dirty page that is neither written nor refused.
 * ORDER=1 is what is built: refuse new requests, drain, drop the keys, wait for each thread, invalidate, confirm. ORDER=2 confirms before the threads were waited for, ORDER=3 drops
 * the keys before the drain: both must fail. */
#ifndef ORDER
#define ORDER 1
#endif
#define THREADS 2
#define ROUNDS 2

bool keys = true, confirmed = false, lost = false;
byte dirty = 0, served_after = 0;
bool busy[THREADS];

active [THREADS] proctype serves() {
    bool has;
    do
    :: atomic { keys && !busy[_pid] -> busy[_pid] = true }; /* takes a key copy */
        has = true;
        if
        :: dirty < 2 -> dirty++ /* a write */
        :: true                 /* a read */
        fi;
        atomic {
            if
            :: confirmed && !keys -> served_after++ /* answers with plaintext although the lock stands */
            :: else
            fi;
            busy[_pid] = false;
            has = false
        }
    :: timeout -> break
    od
}

active proctype supervisor() {
    byte round = 0;
    do
    :: round < ROUNDS ->
        round++;
#if ORDER == 3
        keys = false;
        if :: dirty > 0 -> lost = true; dirty = 0 :: else fi; /* what is dirty cannot be sealed any more */
#else
        atomic { dirty = 0; }                                  /* phase 1: written back */
        atomic { keys = false; }                               /* phase 2 */
#endif
#if ORDER == 1
        (!busy[0] && !busy[1]);                                /* each thread has come to its end and wiped */
        if :: dirty > 0 -> dirty = 0 :: else fi;               /* what it wrote meanwhile was sealed with its own copy */
#endif
        confirmed = true;
        if
        :: true -> skip
        :: true -> skip; skip
        fi;
        atomic { confirmed = false; keys = true }              /* an unlock */
    :: else -> break
    od
}

ltl nothing_after_a_lock { [] (served_after == 0 && !lost) }
