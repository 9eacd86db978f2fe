def draw(run, path): pass
