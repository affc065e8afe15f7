/* Puts go through a ring without a word to the daemon, and yet: a put that has returned is visible to every get that starts
   after it, and a get that waits is never forgotten. page/ring.rs, pushing.rs, Store::{handle, drain, await_objects},
   IndexWriter::expect, IndexReader::is_expected.

   The daemon drains the ring behind each frame it receives and before it acts on it. Before a get waits, the daemon notes
   it, publishes its bit in the filter, fences, and drains once more; only then it sleeps. A put stores entry and tail, fences,
   loads the filter, and sends a Ring frame if the bit of its id is there.

   One putter of three objects with a ring of two entries, so that entries are used again; it asks over its socket when the
   ring is full. One getter of any of them, which waits or does not. With -DCROWD two getters of two objects that share their
   bit. Sockets keep what is sent.

   Faults: NO_PUT_FENCE NO_FILTER_FENCE NO_SECOND_DRAIN ACT_FIRST DRAIN_ONCE_A_TURN FILTER_LATE FILTER_LOADED_FIRST
   HEAD_EARLY; with CROWD: FILTER_FORGETS; with PSO: RELAXED_TAIL */

#define WORDS 6
#define PROCESSORS 2
#define DEPTH 4
#include "memory.pml"

#define PUTTER 0
#define DAEMON 1
#define HEAD 0             /* entries the daemon has taken */
#define TAIL 1             /* entries pushed */
#define FILTER 2           /* a bit for each hash of an id that somebody waits for */
#define RETURNED 3         /* how many puts have returned, as the putter tells others */
#define ENTRY(number) (4 + (number) % RING)
#define RING 2
#ifdef CROWD
#define OBJECTS 2
#define GETTERS 2
#define BIT(object) 1
#else
#define OBJECTS 3
#define GETTERS 1
#define BIT(object) (1 << (object))
#endif

#define RING_FRAME 1
#define SYNC_FRAME 2
chan putter_says = [OBJECTS + 1] of { byte };
chan putter_hears = [1] of { bit };
chan asks[GETTERS] = [1] of { byte, bool };      /* which object; wait for it? */
chan hears[GETTERS] = [1] of { bool };           /* it is there */

byte waits_for[GETTERS];         /* what the daemon noted of each getter */
byte settled;              /* getters that have their answer */
bool returned_is_visible = true, nobody_is_forgotten = true, entry_is_whole = true;

proctype Putter() {
    byte object = 1, head = 0, filter = 0;
    do
    :: object <= OBJECTS ->
        load(PUTTER, HEAD, head);
        if
        :: object - 1 - head == RING -> putter_says!SYNC_FRAME; putter_hears?_
        :: else ->
#ifdef FILTER_LOADED_FIRST
            load(PUTTER, FILTER, filter);
#endif
            store(PUTTER, ENTRY(object - 1), object);
#ifdef RELAXED_TAIL
            store(PUTTER, TAIL, object);
#else
            store_release(PUTTER, TAIL, object);
#endif
#ifndef NO_PUT_FENCE
            fence(PUTTER);
#endif
#ifndef FILTER_LOADED_FIRST
            load(PUTTER, FILTER, filter);
#endif
            if
            :: filter & BIT(object) -> putter_says!RING_FRAME
            :: else
            fi;
            store_release(PUTTER, RETURNED, object);
            object++
        fi
    :: else -> break
    od
}

proctype Getter(byte me) {
    byte object = 0, returned = 0;
    bool waits = false, there = false;
    select(object : 1 .. OBJECTS);
    if :: waits = true :: skip fi;
    returned = memory[RETURNED];
    asks[me]!object, waits;
    hears[me]?there;
    must(returned_is_visible, there || object > returned);
    settled++
}

inline publish_filter() {
    d_step {
        filter = 0;
        for (other : 0 .. GETTERS - 1) {
            if
            :: waits_for[other] > 0 -> filter = filter | BIT(waits_for[other])
            :: else
            fi
        }
        other = 0
    };
    store_release(DAEMON, FILTER, filter)
}

/* Whoever waited for the object hears that it is there. */
inline serve(object) {
    for (getter : 0 .. GETTERS - 1) {
        if
        :: waits_for[getter] == object ->
            hears[getter]!true;
            waits_for[getter] = 0;
#ifdef FILTER_FORGETS
            filter = filter & ~BIT(object);
            store_release(DAEMON, FILTER, filter)
#else
            publish_filter()
#endif
        :: else
        fi
    }
    getter = 0
}

inline drain() {
    load(DAEMON, TAIL, tail);
#ifdef HEAD_EARLY
    store_release(DAEMON, HEAD, tail);
#endif
    do
    :: head < tail ->
        load(DAEMON, ENTRY(head), entered);
        head++;
        must(entry_is_whole, entered == head);
        serve(head)
    :: else -> break
    od;
#ifndef HEAD_EARLY
    store_release(DAEMON, HEAD, head);
#endif
    entered = 0
}

/* Behind each frame that is received, before it is acted upon. */
inline drain_for_frame() {
#ifdef DRAIN_ONCE_A_TURN
    if
    :: !drained -> drain(); drained = true
    :: else
    fi
#endif
#ifdef ACT_FIRST
    skip
#endif
#if !defined(ACT_FIRST) && !defined(DRAIN_ONCE_A_TURN)
    drain()
#endif
}

inline get(who) {
    if
    :: object <= head -> hears[who]!true
    :: object > head && !waits -> hears[who]!false
    :: object > head && waits ->
        waits_for[who] = object;
#ifdef FILTER_LATE
        drain();
        publish_filter();
        fence(DAEMON)
#else
        publish_filter();
#ifndef NO_FILTER_FENCE
        fence(DAEMON);
#endif
#ifndef NO_SECOND_DRAIN
        drain()
#endif
#endif
    fi;
    object = 0;
    waits = false
}

proctype Daemon() {
    byte head = 0, tail = 0, entered = 0, filter = 0, getter = 0, other = 0, object = 0, frame = 0;
    bool waits = false, drained = false;
end:do
    ::  putter_says?frame;
        drain_for_frame();
        if
        :: frame == SYNC_FRAME -> putter_hears!0
        :: else
        fi;
#ifdef ACT_FIRST
        drain();
#endif
        frame = 0
    ::  asks[0]?object(waits);
        drain_for_frame();
        get(0)
#ifdef CROWD
    ::  asks[1]?object(waits);
        drain_for_frame();
        get(1)
#endif
#ifdef DRAIN_ONCE_A_TURN
    /* A turn lasts until there is nothing left to receive. */
    :: drained && empty(putter_says) && empty(asks[0]) -> drained = false
#endif
    od
}

init {
    atomic {
        run Memory(PUTTER); run Memory(DAEMON); run Putter(); run Daemon();
        run Getter(0);
#ifdef CROWD
        run Getter(1)
#endif
    };
    /* Nothing moves any more, and all objects were put. */
    timeout -> must(nobody_is_forgotten, settled == GETTERS)
}
