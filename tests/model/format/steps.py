"""One random operation on a simulated filesystem: what fuzz.py and fuzz2.py do between power cuts."""
import sim

ANY = ['create', 'write', 'write', 'write', 'trunc', 'rename', 'rename', 'fsync', 'fsyncdir', 'ckpt', 'unlink', 'mkdir', 'link', 'grow', 'punch', 'punch', 'chmod', 'exchange', 'symlink', 'rename_link']


def on_file(fs, r, dirs, op, files):
    """What the trace says of it; None: it does not fit."""
    k, i = r.choice(files)
    n = len(fs.f[i]['data'])
    t = (r.choice(dirs), r.choice('abc'))
    if op == 'write':
        off, c = r.randint(0, n), r.randint(1, 3)
        fs.write(i, off, c)
        return op, i, off, c
    if op == 'trunc' and n:
        size = r.randint(0, n - 1)
        fs.trunc(i, size)
        return op, i, n, size
    if op == 'grow':
        size = n + r.randint(1, 4)
        fs.grow(i, size)
        return op, i, n, size
    if op == 'punch' and sim.pcount(n) > 1:
        page = r.randint(1, sim.pcount(n) - 1)
        fs.punch(i, page)
        return op, i, n, page
    if op == 'chmod':
        mode = r.randint(0, 3)
        fs.chmod(i, mode)
        return op, i, mode
    if op == 'fsync': fs.fsync(i); return op, i
    if op == 'unlink': fs.unlink(*k); return op, k
    if op == 'link' and t not in fs.ns: fs.link(*k, *t); return op, k, t
    if op == 'rename' and t != k and fs.ns.get(t) != i: fs.rename(*k, *t); return op, k, t
    if op == 'exchange':
        other, j = r.choice(files)
        if i != j: fs.exchange(*k, *other); return op, k, other
    return None


def step(fs, r, dirs, trace, most):
    files = [(k, i) for k, i in fs.ns.items() if not isinstance(i, tuple) and i in fs.f]
    links = [k for k, i in fs.ns.items() if isinstance(i, tuple)]
    op, done = r.choice(ANY if files else ['create', 'mkdir', 'symlink']), None
    d, n = r.choice(dirs), r.choice('abc')
    if op in ('create', 'symlink'):
        if (d, n) not in fs.ns: getattr(fs, op)(d, n); done = (op, d, n)
    elif op == 'mkdir':
        if len(dirs) == 1 and ('root', 'D') not in fs.ns: dirs.append(fs.mkdir('root', 'D')); done = (op,)
    elif op == 'ckpt': fs.checkpoint(); done = (op,)
    elif op == 'fsyncdir': fs.fsyncdir(d); done = (op, d)
    elif op == 'rename_link':
        k = r.choice(links) if links else None
        if k and (d, n) != k: fs.rename_link(*k, d, n); done = (op, k, (d, n))
    else: done = on_file(fs, r, dirs, op, files)
    if done: trace.append(done)
    if len(fs.b.pend) > most: fs.checkpoint(); trace.append('ckpt*')
