/* Memory with store buffers. A processor's store waits in its buffer, where only it sees it, until memory takes it, at any
   moment. TSO, as x86-64: stores are taken in their order. With -DPSO: a store may be taken before older ones to other
   words, unless it is a release or a release fence lies between. Loads happen at once and in program order: that they may
   not is loom's business.

   WORDS, PROCESSORS and DEPTH, the length of a buffer, are defined by whoever includes this; also TAKEN, what else happens
   when memory takes a store, if anything does. */

#ifndef TAKEN
#define TAKEN skip
#endif

typedef Buffer { byte length; byte word[DEPTH]; byte value[DEPTH] };
byte memory[WORDS];
Buffer buffer[PROCESSORS];
hidden byte entry;

#define FENCE 255          /* a release fence, in place of a word */
#ifdef PSO
#define ORDERED 128        /* added to the word of a release store */
#define STORED(me, which) (buffer[me].word[which] % ORDERED)
#else
#define ORDERED 0
#define STORED(me, which) buffer[me].word[which]
#endif

inline load(me, from, into) {
    d_step {
        into = memory[from];
        for (entry : 0 .. DEPTH - 1) {
            if
            :: entry < buffer[me].length && STORED(me, entry) == (from) -> into = buffer[me].value[entry]
            :: else
            fi
        }
        entry = 0
    }
}

inline append(me, to, what) {
    buffer[me].word[buffer[me].length] = to;
    buffer[me].value[buffer[me].length] = what;
    buffer[me].length++
}

/* A relaxed store. */
inline store(me, to, what) {
    atomic { buffer[me].length < DEPTH -> append(me, to, what) }
}

inline store_release(me, to, what) {
    atomic { buffer[me].length < DEPTH -> append(me, ORDERED + to, what) }
}

/* On TSO every store is a release, and this does nothing. */
inline release_fence(me) {
#ifdef PSO
    atomic {
        if
        :: buffer[me].length == 0
        :: buffer[me].length > 0 && buffer[me].length < DEPTH -> append(me, FENCE, 0)
        fi
    }
#else
    skip
#endif
}

/* A full fence: what follows waits until all have seen what was stored before. */
inline fence(me) {
    buffer[me].length == 0
}

inline remove(me, which) {
    for (entry : 0 .. DEPTH - 2) {
        if
        :: entry >= which ->
            buffer[me].word[entry] = buffer[me].word[entry + 1];
            buffer[me].value[entry] = buffer[me].value[entry + 1]
        :: else
        fi
    }
    buffer[me].word[DEPTH - 1] = 0;
    buffer[me].value[DEPTH - 1] = 0;
    buffer[me].length--;
    entry = 0
}

inline take(me, which) {
    memory[STORED(me, which)] = buffer[me].value[which];
    TAKEN;
    remove(me, which);
#ifdef PSO
    do
    :: buffer[me].length > 0 && buffer[me].word[0] == FENCE -> remove(me, 0)
    :: else -> break
    od;
#endif
    entry = 0
}

#ifdef PSO
/* Any store that need not wait for older ones; the oldest never has to. */
inline choose(me, which, waits) {
    do
    :: which + 1 < buffer[me].length -> which++
    :: break
    od;
    waits = (buffer[me].word[which] >= ORDERED);
    for (entry : 0 .. DEPTH - 1) {
        if
        :: entry < which && buffer[me].word[entry] == FENCE -> waits = true
        :: entry < which && STORED(me, entry) == STORED(me, which) -> waits = true
        :: else
        fi
    }
    if
    :: waits -> which = 0
    :: else
    fi;
    entry = 0
}
#endif

proctype Memory(byte me) {
#ifdef PSO
    byte which = 0;
    bool waits = false;
end:do
    ::  atomic {
            buffer[me].length > 0 -> choose(me, which, waits);
            d_step { take(me, which); which = 0; waits = false }
        }
    od
#else
end:do
    ::  d_step { buffer[me].length > 0 -> take(me, 0) }
    od
#endif
}

/* What has to hold here. A run that finds it broken prints its name. */
inline must(name, condition) {
    d_step { name = (condition); assert(name) }
}
