"""The smallest model there is: minimize (x - 1)² + (y + 2)²."""

import bough

job = bough.start_job()
x, y = job.get_parameter("x"), job.get_parameter("y")
distance = job.create_channel("distance", kpi=True, main=True, max_optimization=False)
distance.send(1, (x - 1) ** 2 + (y + 2) ** 2)
