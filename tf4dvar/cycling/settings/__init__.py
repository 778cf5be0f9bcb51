"""The settings of published benchmarks, one a file, with what was published of each.

Values are those that DAPPER's files tell (Raanes et al., github.com/nansencenter/DAPPER).
"""

from tf4dvar.cycling.settings.bocquet2010 import BOCQUET2010
from tf4dvar.cycling.settings.ks_bocquet2019 import KS_BOCQUET2019
from tf4dvar.cycling.settings.sakov2008 import SAKOV2008
from tf4dvar.cycling.settings.sakov2012 import SAKOV2012
from tf4dvar.cycling.settings.spantini2019 import SPANTINI2019

BENCHMARKS = {
    each.name: each for each in (SAKOV2008, SAKOV2012, BOCQUET2010, SPANTINI2019, KS_BOCQUET2019)
}
