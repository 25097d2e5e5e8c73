# Part of call.pyx: programs.
cdef object FROM_BUFFER = np.frombuffer


cdef class Step:
    """One step of a program, from slots to slots.

    `run` is a `Fast` that fills y from x and residual (a slot, or -1), or a function of Python from arrays to a tuple of new
    ones, or None where y is x in another shape. `plainly` (x, residual, y) does what a `Fast` does where that cannot. Arrays
    that Python made are let go of after the step that has their slot in `drops`.
    """
    cdef object run, plainly, b
    cdef tuple sources, results, drops
    cdef int x, residual, y
    cdef const char *bias

    def __init__(self, run, tuple sources, tuple results, tuple drops, int residual=-1, b=None, plainly=None):
        self.run, self.sources, self.results, self.drops, self.b, self.plainly = run, sources, results, drops, b, plainly
        self.x, self.residual, self.y = sources[0], residual, results[0]
        self.bias = NULL if b is None else address(b)


cdef class Held:
    """Something in a dict that must still be there: of the same `version`, or with the same contents, where that is told."""
    cdef dict owner
    cdef object name, thing, version
    cdef bytes was
    cdef const char *data

    def __init__(self, dict owner, name, version=None, bytes was=None):
        self.owner, self.name, self.thing, self.version, self.was = owner, name, owner[name], version, was
        self.data = address(self.thing) if was else NULL

    cdef bint holds(self) except -1:
        if self.owner.get(self.name) is not self.thing:
            return False
        if self.data != NULL:
            return memcmp(self.data, <const char *>self.was, len(self.was)) == 0
        return self.version is None or self.thing.version == self.version


cdef class Program:
    """A network for inputs of one shape, with the threads and the instruction set that it was made for.

    slots    (offset in the memory of a run, or -1; shape; dtype; bytes) of each array; the first ones are the inputs
    makers   a slot whose array is new in each run, the function that makes it, the next slot, ...
    results  slots of the outputs
    held     what it was made of
    """
    cdef list slots, steps, held
    cdef tuple makers, results
    cdef bytes offsets
    cdef Form forms[ARRAYS]
    cdef int count, threads
    cdef const ck_kernels *kernels
    cdef bint flushes
    cdef readonly Py_ssize_t size               # bytes of the memory of a run

    def __init__(self, list slots, bytes offsets, Py_ssize_t size, int count, list steps, tuple makers, tuple results,
                 list held, int threads):
        cdef int i
        if count > ARRAYS:
            raise ValueError("Program: too many inputs")
        self.slots, self.offsets, self.size, self.count, self.steps = slots, offsets, size, count, steps
        self.makers, self.results, self.held, self.threads = makers, results, held, threads
        self.kernels, self.flushes = table(4), flushes()
        for i in range(count):
            self.forms[i] = form_of(slots[i][1], slots[i][2].itemsize)

    cdef bint take_all(self, list arrays, Given *g) except -1:
        cdef int i
        for i in range(self.count):
            if not take(g, arrays[i], &self.forms[i], self.slots[i][2]):
                return False
        return True

    def fits(self, list arrays, int threads):
        """Whether it was made for such arrays."""
        cdef Given given
        if threads != self.threads or self.kernels != table(4) or self.flushes != flushes():
            return False
        given.count = 0
        try:
            return self.take_all(arrays, &given)
        finally:
            drop(&given)

    def fresh(self):
        """Whether the weights are those that it was made of."""
        cdef Held each
        for each in self.held:
            if not each.holds():
                return False
        return True

    def run(self, list arrays, size_t base):
        """The outputs for arrays that fit, in `size` bytes of memory that nobody else uses."""
        cdef char **at = <char **>base
        cdef const Py_ssize_t *offset = <const Py_ssize_t *><const char *>self.offsets
        cdef dict made = {}                     # by slot: arrays of Python
        cdef Given given
        cdef Places places
        cdef Step step
        cdef int i
        for i in range(len(self.slots)):
            at[i] = <char *>base + offset[i] if offset[i] >= 0 else NULL
        places.room, places.other = <char *>base + offset[len(self.slots)], NULL
        given.count = 0
        try:
            if not self.take_all(arrays, &given):
                return None                     # another thread has changed it
            for i in range(self.count):
                at[i], made[i] = given.data[i], arrays[i]
            for i in range(0, len(self.makers), 2):
                self.put(self.makers[i], self.makers[i + 1](), at, made)
            for step in self.steps:
                PyErr_CheckSignals()
                if isinstance(step.run, Fast):
                    places.x, places.b, places.y = at[step.x], step.bias, at[step.y]
                    places.residual = at[step.residual] if step.residual >= 0 else NULL
                    if (<Fast>step.run).run(&places):
                        residual = self.array(step.residual, at, made) if step.residual >= 0 else None
                        step.plainly(self.array(step.x, at, made), residual, self.array(step.y, at, made))
                elif step.run is None:
                    at[step.y] = at[step.x]
                    if step.x in made:
                        made[step.y] = made[step.x].reshape(self.slots[step.y][1])
                else:
                    found = step.run(*[self.array(slot, at, made) for slot in step.sources])
                    for i in range(len(step.results)):
                        self.put(step.results[i], (<tuple>found)[i], at, made)
                for slot in step.drops:
                    made.pop(slot, None)
            return [made[slot] for slot in self.results]
        finally:
            drop(&given)

    cdef int put(self, int slot, y, char **at, dict made) except -1:
        made[slot], at[slot] = y, address(y)
        return 0

    cdef object array(self, int slot, char **at, dict made):
        """What lies in a slot, for Python."""
        cdef tuple form = self.slots[slot]
        if slot in made:
            return made[slot]
        return FROM_BUFFER(PyMemoryView_FromMemory(at[slot], form[3], PyBUF_WRITE), form[2]).reshape(form[1])
