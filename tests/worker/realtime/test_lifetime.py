from worker.realtime.lifetime import HURRY_S, Lifetime


def over(life, now, idle=False, quiet=False):
    return life.over(now, idle=idle, quiet=quiet or idle)


def test_from_its_age_on_at_a_moment_between_turns():
    life = Lifetime(0.0, 480.0, 600.0)
    assert not over(life, 479.0, idle=True)
    assert over(life, 480.0, idle=True)
    assert not over(life, 480.0, quiet=True), "a tool runs"


def test_shortly_before_its_end_when_nobody_speaks_and_after_it_in_any_case():
    life = Lifetime(0.0, 480.0, 600.0)
    assert not over(life, 599.0)
    assert over(life, 600.0 - HURRY_S, quiet=True)
    assert over(life, 600.0)


def test_going_away_counts_from_now_and_never_makes_it_longer():
    life = Lifetime(0.0, 480.0, 600.0)
    life.going_away(100.0, 60.0)
    assert over(life, 100.0, idle=True) and not over(life, 144.0, quiet=True)
    assert over(life, 145.0, quiet=True) and over(life, 160.0)
    life.going_away(110.0, 500.0)
    assert over(life, 160.0)


def test_without_a_limit_it_goes_on():
    life = Lifetime(0.0, None, None)
    assert not over(life, 1e6, idle=True)
    life.going_away(1e6, 50.0)
    assert over(life, 1e6, idle=True) and over(life, 1e6 + 50)
