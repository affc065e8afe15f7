/* A grant, which its client may use at any moment without a word, is taken back without asking it.

   A put claims its grant like a get: claim, full fence, commit word again. Then it copies, pushes an entry on the ring, and
   clears the claim last. A create pushes an entry when it begins and another when it ends, and claims its grant all the
   while. The daemon marks the grant as revoking, fences, looks for the claim, and only then drains the ring.

   One client, one slot, a ring of two entries; a free slot is granted again with its next generation, and between two grants
   its memory is somebody else's.

   Faults: NO_CLAIM NO_CLAIM_FENCE NO_SCAN_FENCE NO_RECHECK NO_MARK NO_SCAN NO_DRAIN DRAIN_FIRST CLEAR_FIRST CREATE_UNCLAIMED
   SAME_GENERATION; with PSO: RELAXED_TAIL RELAXED_CLEAR */

#define WORDS 7
#define PROCESSORS 2
#define DEPTH 5
#include "memory.pml"

#define CLIENT 0
#define DAEMON 1
#define COMMIT 0           /* generation * 4 + state */
#define CELL 1             /* 0, or the generation claimed */
#define QUEUE 2            /* the last grant given: its number * 8 + generation */
#define HEAD 3             /* entries the daemon has taken */
#define TAIL 4             /* entries pushed */
#define ENTRY(number) (5 + (number) % RING)
#define RING 2

#define FREE 0
#define GRANTED 1
#define REVOKING 2
#define SEALED 3
#define CREATED 4          /* in the daemon's own table only: the commit word still says granted */
#define COMMITTED(generation, state) ((generation) * 4 + (state))

#define PUT 0
#define CREATE 1
#define SEAL 2
#define ABORT 3
#define PUSHED(generation, kind) ((generation) * 4 + (kind))

#define GRANTS 4

byte owner;                /* the number of the grant whose bytes the extent holds; 0: somebody else's */
bool done[GRANTS + 1];     /* by number: its put, or its seal, has returned */
bool taken_back[GRANTS + 1];
bool extent_is_mine = true, done_is_kept = true, entry_is_welcome = true, create_is_claimed = true;

inline push(kind) {
    tail - memory[HEAD] < RING;
    tail++;
    store(CLIENT, ENTRY(tail - 1), PUSHED(grant % 8, kind));
#ifdef RELAXED_TAIL
    store(CLIENT, TAIL, tail)
#else
    store_release(CLIENT, TAIL, tail)
#endif
}

inline clear() {
#ifdef RELAXED_CLEAR
    store(CLIENT, CELL, 0)
#else
    store_release(CLIENT, CELL, 0)
#endif
}

/* The first byte and the last one; anything may happen between. */
inline write_bytes() {
    must(extent_is_mine, owner == grant / 8);
    must(extent_is_mine, owner == grant / 8)
}

proctype Client() {
    byte grant = 0, commit = 0, tail = 0;
    bool kept = false;
end:do
    ::  atomic { memory[QUEUE] != grant -> grant = memory[QUEUE] };
#ifndef NO_CLAIM
        store(CLIENT, CELL, grant % 8);
#ifndef NO_CLAIM_FENCE
        fence(CLIENT);
#endif
#endif
#ifdef NO_RECHECK
        commit = COMMITTED(grant % 8, GRANTED);
#else
        load(CLIENT, COMMIT, commit);
#endif
        if
        :: commit != COMMITTED(grant % 8, GRANTED)
        :: else ->
            if
            ::  write_bytes();
#ifdef CLEAR_FIRST
                clear();
#endif
                push(PUT);
                kept = true
            ::  push(CREATE);
#ifdef CREATE_UNCLAIMED
                clear();
#endif
                write_bytes();
                if
                :: push(SEAL); kept = true
                :: push(ABORT)
                fi
            fi
        fi;
        clear();
        fence(CLIENT);
        d_step { must(done_is_kept, !kept || !taken_back[grant / 8]); done[grant / 8] = kept; kept = false; commit = 0 }
    od
}

inline set_commit(state) {
    store_release(DAEMON, COMMIT, COMMITTED(generation, state))
}

/* The slot and its extent are free, and somebody else's at once. */
inline free() {
    d_step {
        owner = 0;
#ifndef SAME_GENERATION
        generation++;
#endif
        slot = FREE
    };
    set_commit(FREE)
}

inline drain() {
    load(DAEMON, TAIL, tail);
    do
    :: head < tail ->
        load(DAEMON, ENTRY(head), entered);
        head++;
        must(entry_is_welcome, entered / 4 == generation && slot == (entered % 4 >= SEAL -> CREATED : GRANTED));
        if
        :: entered % 4 == CREATE -> slot = CREATED
        :: entered % 4 == ABORT -> free()
        :: else -> slot = SEALED; set_commit(SEALED)
        fi
    :: else -> break
    od;
    store_release(DAEMON, HEAD, head);
    entered = 0
}

inline scan() {
    load(DAEMON, CELL, entered);
    claimed = (entered == generation);
    entered = 0
}

proctype Daemon() {
    byte slot = FREE, generation = 1, number = 0, head = 0, tail = 0, entered = 0;
    bool claimed = false;
end:do
    ::  drain()
    :: slot == FREE && number < GRANTS ->
        d_step { slot = GRANTED; number++; owner = number };
        set_commit(GRANTED);
        store_release(DAEMON, QUEUE, number * 8 + generation)
    :: slot == GRANTED ->
#ifdef DRAIN_FIRST
        drain();
#endif
#ifndef NO_MARK
        set_commit(REVOKING);
#endif
#ifndef NO_SCAN_FENCE
        fence(DAEMON);
#endif
#ifndef NO_SCAN
        scan();
#endif
#if !defined(DRAIN_FIRST) && !defined(NO_DRAIN)
        drain();
#endif
        if
        :: slot == GRANTED && !claimed ->
            d_step { must(done_is_kept, !done[number]); taken_back[number] = true };
            free()
        :: slot == GRANTED && claimed -> set_commit(GRANTED)
        :: slot == CREATED -> must(create_is_claimed, claimed); set_commit(GRANTED)
        :: slot == SEALED || slot == FREE        /* the entry was there already */
        fi;
        claimed = false
    /* A deleted object goes like any other: pin.pml. */
    :: slot == SEALED && number < GRANTS -> free()
    od
}

init {
    atomic { run Memory(CLIENT); run Memory(DAEMON); run Client(); run Daemon() }
}
