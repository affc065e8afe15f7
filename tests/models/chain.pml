/* A reader walks a chain while the daemon takes slots off it and uses them again, in this chain or another:
   IndexReader::find, IndexWriter::{publish, grant, unlink, free}.

   Slot 1 holds an object that stays, at the end of chain 0; slots 2 and 3 come and go in both chains, slot 3 by way of a grant.
   While memory is still, a walk finds what stays: so it does if the daemon ended in the middle of its work, at any step. With
   -DSEEK the reader seeks an object that comes and goes: what it finds was sealed under that id and commit word. Then one slot
   comes and goes, and its generations count and end; else they stand still, and the daemon goes on for ever.

   Faults: HEAD_FIRST LINK_CLEARED NO_UNLINK NO_BOUND MISS_PROVES; with SEEK: NO_SECOND_LOOK; with PSO: RELAXED_HEAD
   NO_FIELD_FENCE NO_GRANT_FENCE */

#define WORDS 11
#define PROCESSORS 1
#define DEPTH 5
#define TAKEN changed = true
bool changed;                              /* memory is not what it was when the walk began */
#include "memory.pml"

#define HEAD(chain) (chain)                /* 0: empty, else a slot */
#define NEXT(slot) (1 + (slot))
#define ID(slot) (4 + (slot))
#define COMMIT(slot) (7 + (slot))          /* generation * 8 + state */
#define DAEMON 0

#define FREE 0
#define WRITING 1
#define SEALED 2
#define LEAVING 3
#define GRANTED 4
#define COMMITTED(generation, state) ((generation) * 8 + (state))

#define STAYS 1
#define SOUGHT 2
#define OTHER 3
#define OFF_CHAIN 2
#define HOPS_MAX 6
#ifdef SEEK
#define WANTED SOUGHT
#define GENERATIONS 2
#else
#define WANTED STAYS
#define GENERATIONS 0
#endif

bool stays_reachable = true, walk_ends = true, miss_proves = true, hit_is_right = true;
byte sealed_as[16];                        /* by generation and slot: under which id it was sealed */
#define SEALED_AS(slot, generation) sealed_as[(generation) * 4 + (slot)]

inline missed() {
#ifdef MISS_PROVES
    must(miss_proves, false);
#endif
#ifndef SEEK
    must(stays_reachable, changed);
#endif
    break
}

/* A reader stores nothing here, so it loads from memory itself. */
proctype Reader() {
    byte slot = 0, hops = 0, commit = 0, id = 0, next = 0;
end:do
    ::  atomic { changed = false; slot = memory[HEAD(0)] };
        do
        :: slot == 0 -> missed()
#ifdef NO_BOUND
        :: hops > HOPS_MAX -> must(walk_ends, false)
#else
        :: hops == HOPS_MAX -> missed()
#endif
        :: slot != 0 && hops <= HOPS_MAX ->
            commit = memory[COMMIT(slot)];
            id = memory[ID(slot)];
            next = memory[NEXT(slot)];
            if
            :: id == WANTED && commit % 8 == SEALED ->
#ifndef NO_SECOND_LOOK
                if
                :: memory[COMMIT(slot)] != commit -> missed()
                :: else
                fi;
#endif
                must(hit_is_right, SEALED_AS(slot, commit / 8) == WANTED);
                break
            :: else -> slot = next; hops++
            fi
        od;
        skip;
        d_step { slot = 0; hops = 0; commit = 0; id = 0; next = 0 }
    od
}

/* Handed to a client. Whoever reads the slot's last object is told by this, so publishing need not do so again. */
inline grant(slot) {
    store(DAEMON, COMMIT(slot), COMMITTED(generation[slot], WRITING));
#ifndef NO_GRANT_FENCE
    release_fence(DAEMON);
#endif
    store_release(DAEMON, COMMIT(slot), COMMITTED(generation[slot], GRANTED));
    granted = true
}

/* The record, then the chain, then the commit word. */
inline publish(slot, to, under) {
    load(DAEMON, HEAD(to), first);
    d_step { SEALED_AS(slot, generation[slot]) = under; chain[slot] = to };
    if
    :: granted -> granted = false
    :: else ->
        store(DAEMON, COMMIT(slot), COMMITTED(generation[slot], WRITING));
#ifndef NO_FIELD_FENCE
        release_fence(DAEMON)
#endif
    fi;
#ifdef HEAD_FIRST
    store_release(DAEMON, HEAD(to), slot);
#endif
    store(DAEMON, ID(slot), under);
    store(DAEMON, NEXT(slot), first);
#ifdef RELAXED_HEAD
    store(DAEMON, HEAD(to), slot);
#endif
#if !defined(HEAD_FIRST) && !defined(RELAXED_HEAD)
    store_release(DAEMON, HEAD(to), slot);
#endif
    store_release(DAEMON, COMMIT(slot), COMMITTED(generation[slot], SEALED))
}

/* Predecessor first; the slot's own link stays for readers standing on it. */
inline unlink(slot) {
    load(DAEMON, NEXT(slot), link);
#ifdef LINK_CLEARED
    store_release(DAEMON, NEXT(slot), 0);
#endif
    load(DAEMON, HEAD(chain[slot]), before);
    if
    :: before == slot -> store_release(DAEMON, HEAD(chain[slot]), link)
    :: else -> store_release(DAEMON, NEXT(before), link)        /* no more than one stands in front of it */
    fi
}

inline free(slot) {
#ifdef SEEK
    generation[slot]++;
#endif
    store_release(DAEMON, COMMIT(slot), COMMITTED(generation[slot], FREE));
    chain[slot] = OFF_CHAIN
}

proctype Daemon() {
    byte slot = 0, first = 0, link = 0, before = 0;
    byte chain[4], generation[4];
    bool granted = false;
    d_step { chain[2] = OFF_CHAIN; chain[3] = OFF_CHAIN };
#ifdef SEEK
    byte mover = 2;
    if :: mover = 3 :: skip fi;
#endif
end:do
#ifdef SEEK
    ::  slot = mover;
#else
    ::  if :: slot = 2 :: slot = 3 fi;
#endif
        if
        :: chain[slot] == OFF_CHAIN && generation[slot] <= GENERATIONS ->
            if
            :: slot == 3 -> grant(slot)
            :: else
            fi;
            if
#ifdef SEEK
            :: publish(slot, 0, SOUGHT)
#endif
            :: publish(slot, 0, OTHER)
            :: publish(slot, 1, OTHER)
            fi
        /* What leaves is unlinked behind the scan, what is deleted before it. Nobody has claimed it. */
        :: chain[slot] != OFF_CHAIN ->
            store_release(DAEMON, COMMIT(slot), COMMITTED(generation[slot], LEAVING));
            if
            ::  fence(DAEMON);
#ifndef NO_UNLINK
                unlink(slot)
#endif
            ::  unlink(slot);
                fence(DAEMON)
            fi;
            free(slot)
        :: else
        fi;
        skip;
        d_step { slot = 0; first = 0; link = 0; before = 0 }
    od
}

init {
    atomic {
        memory[HEAD(0)] = STAYS; memory[ID(STAYS)] = STAYS; memory[COMMIT(STAYS)] = COMMITTED(0, SEALED);
        SEALED_AS(STAYS, 0) = STAYS;
        run Memory(DAEMON); run Reader(); run Daemon()
    }
}
