"""Pack ten equal circles into the unit square by letting their centres push each other away.

The centres of equal circles in a square are points in a smaller square with the greatest smallest distance m; the
circles' radius is then m / (2 (m + 1)). For ten circles the best radius is 0.148204... (proved optimal: Markót and
Csendes 2005, "A new verified optimization technique for the 'packing circles in a unit square' problems").
"""

import math
import random

import bough

CIRCLES = 10
BEST_KNOWN = 0.14820432256


def starting_points(kind, jitter, rng):
    """Return ten points in the unit square: scattered, on a 4 x 3 grid, or on a ring; then jittered."""
    if kind == "random":
        points = [(rng.random(), rng.random()) for _ in range(CIRCLES)]
    elif kind == "grid":
        points = [((i % 4) / 3, (i // 4) / 2) for i in range(CIRCLES)]
    else:
        turn = 2 * math.pi / (CIRCLES - 1)
        points = [(0.5 + 0.5 * math.cos(i * turn), 0.5 + 0.5 * math.sin(i * turn)) for i in range(CIRCLES - 1)]
        points.append((0.5, 0.5))
    return [inside(x + rng.uniform(-jitter, jitter), y + rng.uniform(-jitter, jitter)) for x, y in points]


def inside(x, y):
    """Return the nearest point of the unit square."""
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)


def pushed(points, length, repulsion):
    """Return the points after each moved at most ``length`` away from the others, the near ones pushing most."""
    moved = []
    for i, (x, y) in enumerate(points):
        push_x = push_y = 0.0
        for j, (other_x, other_y) in enumerate(points):
            if i != j:
                distance = max(math.hypot(x - other_x, y - other_y), 1e-3)
                force = min(0.42 / distance, 20.0) ** repulsion / distance
                push_x += (x - other_x) * force
                push_y += (y - other_y) * force
        size = math.hypot(push_x, push_y) or 1.0
        moved.append(inside(x + length * push_x / size, y + length * push_y / size))
    return moved


def radius(points):
    """Return the radius of the ten equal circles that these centres allow."""
    nearest = min(math.dist(a, b) for i, a in enumerate(points) for b in points[:i])
    return nearest / (2 * (nearest + 1))


def main():
    """Search, and report the best radius so far every ten steps."""
    job = bough.start_job()
    rng = random.Random(1)
    points = starting_points(job.get_parameter("start"), job.get_parameter("jitter"), rng)
    steps, repulsion = job.get_parameter("steps"), job.get_parameter("repulsion")
    first, geometric = job.get_parameter("cooling.first"), job.get_parameter("cooling") == "geometric"
    channel = job.create_channel("radius", kpi=True, main=True, max_optimization=True)

    best = radius(points)
    for step in range(1, steps + 1):
        cooled = job.get_parameter("cooling.factor") ** step if geometric else 1 - step / (steps + 1)
        length = first * cooled
        points = pushed(points, length, repulsion)
        best = max(best, radius(points))
        if job.get_parameter("shake") and step % job.get_parameter("shake.every") == 0:
            strength = job.get_parameter("shake.strength")
            points = [inside(x + rng.gauss(0, strength), y + rng.gauss(0, strength)) for x, y in points]
        if step % 10 == 0:
            channel.send(step, best)
            job.progress(step // 10, steps // 10)
    print(f"best radius {best:.6f}, {100 * best / BEST_KNOWN:.2f} % of the best there is")


if __name__ == "__main__":
    main()
