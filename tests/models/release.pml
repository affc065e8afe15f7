/* A create that waits for room hears of the last release, though releases say nothing: OwnPins::release,
   IndexReader::{confirm, is_wanted}, Residence::{want, pinned, retract}, Store::ask_for_releases.

   Whoever clears a claim fences, and sends a Ring frame if the daemon wants to know: also if the claim came to nothing, as the
   daemon may have seen it. The daemon, before it sleeps, stores that it wants to know, fences, and looks once more.

   Two clients get an object a few times; the first holds it when the run begins. A create needs its memory, then another
   object lies in the slot, and a second create needs that. The claim on a grant is cleared the same way, and a grant is looked
   at the same way: with another mark, and the ring drained behind it.

   Faults: SILENT SILENT_MISS NO_RELEASE_FENCE NO_DAEMON_FENCE NO_SECOND_LOOK WANTED_LATE WANTED_LOADED_FIRST; not needed
   beside the fence of each scan: NO_WANTED_FENCE */

#define WORDS 4
#define PROCESSORS 3
#define DEPTH 3
#include "memory.pml"

#define CELL(client) (client)              /* 0, or the generation claimed */
#define COMMIT 2                           /* generation * 4 + state */
#define WANTED 3
#define DAEMON 2

#define FREE 0
#define SEALED 1
#define LEAVING 2
#define COMMITTED(generation, state) ((generation) * 4 + (state))
#define GETS 2
#define CREATES 2

bool rung;                 /* a Ring frame has been sent and not been received */
byte served;
bool create_is_served = true;

inline release(tell) {
#ifdef WANTED_LOADED_FIRST
    load(me, WANTED, wanted);
#endif
    store_release(me, CELL(me), 0);
#ifndef NO_RELEASE_FENCE
    fence(me);
#endif
#ifndef WANTED_LOADED_FIRST
    load(me, WANTED, wanted);
#endif
    if
    :: tell && wanted > 0 -> rung = true
    :: else
    fi;
    wanted = 0
}

#ifdef SILENT
#define TELL false
#else
#define TELL true
#endif
#if defined(SILENT) || defined(SILENT_MISS)
#define TELL_OF_MISS false
#else
#define TELL_OF_MISS true
#endif

proctype Client(byte me) {
    byte gets = 0, seen = 0, again = 0, wanted = 0;
    if
    :: me == 0 -> release(TELL)
    :: else
    fi;
    do
    :: gets < GETS ->
        gets++;
        load(me, COMMIT, seen);
        if
        :: seen % 4 == SEALED ->
            store(me, CELL(me), seen / 4);
            fence(me);
            load(me, COMMIT, again);
            if
            :: again == seen -> release(TELL)
            :: else -> release(TELL_OF_MISS)
            fi
        :: else
        fi
    :: gets == GETS -> break
    od
}

inline scan() {
#ifndef NO_DAEMON_FENCE
    fence(DAEMON);
#endif
    load(DAEMON, CELL(0), claim);
    claimed = (claim == generation);
    load(DAEMON, CELL(1), claim);
    claimed = claimed || (claim == generation)
}

/* Is there room, or can it be made? */
inline look() {
    scan();
    if
    :: claimed
    :: else ->
        store_release(DAEMON, COMMIT, COMMITTED(generation, LEAVING));
        scan();
        if
        :: claimed -> store_release(DAEMON, COMMIT, COMMITTED(generation, SEALED))
        :: else
        fi
    fi
}

inline want(wanted) {
    store_release(DAEMON, WANTED, wanted);
#if !defined(NO_WANTED_FENCE) && !defined(NO_DAEMON_FENCE)
    fence(DAEMON)
#endif
}

proctype Daemon() {
    byte generation = 1, claim = 0;
    bool claimed = false;
    do
    :: served < CREATES ->
        look();
        if
        :: !claimed
        :: else ->
#ifdef WANTED_LATE
            look();
            want(1);
#else
            want(1);
#ifndef NO_SECOND_LOOK
            look();
#endif
#endif
            do
            :: !claimed -> break
            :: else ->
                d_step { rung -> rung = false };
                look()
            od;
            want(0)
        fi;
        d_step { served++; generation++; claimed = false; claim = 0 };
        store_release(DAEMON, COMMIT, COMMITTED(generation, FREE));
        store_release(DAEMON, COMMIT, COMMITTED(generation, SEALED))
    :: else -> break
    od
}

init {
    atomic {
        memory[CELL(0)] = 1; memory[COMMIT] = COMMITTED(1, SEALED);
        run Memory(0); run Memory(1); run Memory(DAEMON); run Client(0); run Client(1); run Daemon()
    };
    /* Nothing moves any more, and nobody claims anything. */
    timeout -> must(create_is_served, served == CREATES)
}
