#pragma once
#include "CShimsChecksum.h"
#include "CShimsSystem.h"
#include "CShimsICU.h"
#include "CShimsClock.h"
#include "CShimsStoreFaults.h"
