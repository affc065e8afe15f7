/* A reader pins what the daemon evicts, deletes and gives to others: index/reader.rs, page/own.rs, page/daemon.rs,
   Residence::{retract, doom, free, publish}.

   Two clients with one own cell each, two slots, two extents, two generations of each slot: enough that an object comes back
   at another place. The second look that `find` takes by itself is left out, so readers here are a little more careless.

   Faults: NO_CLAIM_FENCE NO_SCAN_FENCE NO_RECHECK SCAN_FIRST NO_SCAN SAME_GENERATION MARK_LATE; with PSO: RELAXED_SEAL */

#define WORDS 8
#define PROCESSORS 3
#define DEPTH 5
#include "memory.pml"

#define COMMIT(slot) (slot)                /* generation * 8 + state */
#define PLACE(slot) (2 + (slot))
#define CELL(client) (4 + (client))        /* 0, or the claim */
#define USED(client) (6 + (client))        /* how many cells the client has ever used: 0 or 1 */
#define DAEMON 2

#define WRITING 1
#define SEALED 2
#define LEAVING 3
#define DOOMED 4
#define FREE 0
#define GENERATIONS 2

#define COMMITTED(generation, state) ((generation) * 8 + (state))
#define MAY_GO(slot) (state[slot] == SEALED && lives[slot] < GENERATIONS)
#define CLAIM(slot, generation) ((generation) * 2 + (slot))

byte tenant[2];            /* whose bytes lie in an extent: a claim's worth, or 0 */
bool bytes_are_mine = true;

inline note_used() {
    load(me, USED(me), again);
    if
    :: again == 0 -> store(me, USED(me), 1)
    :: else
    fi;
    again = 0
}

proctype Client(byte me) {
    byte slot = 0, seen = 0, again = 0, place = 0;
end:do
    ::  if :: slot = 0 :: slot = 1 fi;
        load(me, COMMIT(slot), seen);
        if
        :: seen % 8 == SEALED ->
            load(me, PLACE(slot), place);
#ifndef MARK_LATE
            note_used();
#endif
            store(me, CELL(me), CLAIM(slot, seen / 8));
#ifndef NO_CLAIM_FENCE
            fence(me);
#endif
#ifdef MARK_LATE
            note_used();
#endif
#ifdef NO_RECHECK
            again = seen;
#else
            load(me, COMMIT(slot), again);
#endif
            if
            :: again == seen ->
                /* The first byte and the last one; anything may happen between. */
                must(bytes_are_mine, tenant[place] == CLAIM(slot, seen / 8));
                must(bytes_are_mine, tenant[place] == CLAIM(slot, seen / 8))
            :: else
            fi;
            store_release(me, CELL(me), 0);
            fence(me)
        :: else
        fi;
        d_step { slot = 0; seen = 0; again = 0; place = 0 }
    od
}

inline scan() {
    d_step { claimed[0] = false; claimed[1] = false };
    for (client : 0 .. 1) {
        load(DAEMON, USED(client), word);
        if
        :: word > 0 ->
            load(DAEMON, CELL(client), word);
            /* A claim counts if the slot has that generation now. */
            if
            :: word > 0 && word / 2 == generation[word % 2] -> claimed[word % 2] = true
            :: else
            fi
        :: else
        fi
    }
    skip;
    d_step { client = 0; word = 0 }
#ifdef NO_SCAN
    d_step { claimed[0] = false; claimed[1] = false }
#endif
}

inline fence_and_scan() {
#ifndef NO_SCAN_FENCE
    fence(DAEMON);
#endif
    scan()
}

/* The slot's object is gone, its memory anybody's. */
inline free(slot) {
    d_step {
        tenant[extent[slot]] = 0;
        lives[slot]++;
#ifndef SAME_GENERATION
        generation[slot]++
#endif
    };
    store_release(DAEMON, COMMIT(slot), COMMITTED(generation[slot], FREE))
}

/* Another object comes into the slot, into any free extent. */
inline publish(slot) {
    if
    :: tenant[0] == 0 -> extent[slot] = 0
    :: tenant[1] == 0 -> extent[slot] = 1
    fi;
    tenant[extent[slot]] = CLAIM(slot, generation[slot]);
    store(DAEMON, COMMIT(slot), COMMITTED(generation[slot], WRITING));
    release_fence(DAEMON);
    store(DAEMON, PLACE(slot), extent[slot]);
#ifdef RELAXED_SEAL
    store(DAEMON, COMMIT(slot), COMMITTED(generation[slot], SEALED));
#else
    store_release(DAEMON, COMMIT(slot), COMMITTED(generation[slot], SEALED));
#endif
    state[slot] = SEALED
}

proctype Daemon() {
    byte slot = 0, client = 0, word = 0;
    byte state[2], generation[2], lives[2], extent[2];
    bool window[2], claimed[2];
    d_step {
        state[0] = SEALED; state[1] = SEALED; generation[0] = 1; generation[1] = 1; lives[0] = 1; lives[1] = 1;
        extent[0] = 0; extent[1] = 1
    };
    do
    :: lives[0] < GENERATIONS || lives[1] < GENERATIONS ->
        if
        /* Objects leave: all of the window, or none. */
        ::  if
            :: MAY_GO(0) -> window[0] = true
            :: MAY_GO(1) -> window[1] = true
            :: MAY_GO(0) && MAY_GO(1) -> d_step { window[0] = true; window[1] = true }
            fi;
#ifdef SCAN_FIRST
            scan();
#endif
            for (slot : 0 .. 1) {
                if :: window[slot] -> store_release(DAEMON, COMMIT(slot), COMMITTED(generation[slot], LEAVING)) :: else fi
            }
#ifdef SCAN_FIRST
            fence(DAEMON);
#else
            fence_and_scan();
#endif
            if
            :: (window[0] && claimed[0]) || (window[1] && claimed[1]) ->
                for (slot : 0 .. 1) {
                    if :: window[slot] -> store_release(DAEMON, COMMIT(slot), COMMITTED(generation[slot], SEALED)) :: else fi
                }
            :: else ->
                for (slot : 0 .. 1) { if :: window[slot] -> free(slot) :: else fi }
                for (slot : 0 .. 1) { if :: window[slot] -> publish(slot) :: else fi }
            fi
        /* One is deleted. */
        ::  if :: MAY_GO(0) -> slot = 0 :: MAY_GO(1) -> slot = 1 fi;
            store_release(DAEMON, COMMIT(slot), COMMITTED(generation[slot], DOOMED));
            state[slot] = DOOMED
        /* What was deleted is freed, once nobody claims it. */
        ::  if :: state[0] == DOOMED -> slot = 0 :: state[1] == DOOMED -> slot = 1 fi;
            fence_and_scan();
            if
            :: claimed[slot]
            :: else -> free(slot); publish(slot)
            fi
        fi;
        skip;
        d_step { window[0] = false; window[1] = false; claimed[0] = false; claimed[1] = false; slot = 0 }
    :: else -> break
    od
}
init {
    atomic {
        memory[COMMIT(0)] = COMMITTED(1, SEALED); memory[COMMIT(1)] = COMMITTED(1, SEALED);
        memory[PLACE(0)] = 0; memory[PLACE(1)] = 1;
        tenant[0] = CLAIM(0, 1); tenant[1] = CLAIM(1, 1);
        run Memory(0); run Memory(1); run Memory(DAEMON); run Client(0); run Client(1); run Daemon()
    }
}
